"""The paper's figures: what each is made of, what it says and how it looks, one file a figure."""
