"""Independent reference results to check exports with. Nothing here may import the rest of export/ or tokenizer/."""
