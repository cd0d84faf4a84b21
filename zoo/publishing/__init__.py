"""From a finished directory of archives to where people fetch them."""
