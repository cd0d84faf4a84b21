"""Independent answers to check exports against; nothing here may import the rest of export/ or tokenizer/."""
