"""What suites of pre-trained encoders share: heads first, then the encoder, in full or by LoRA."""
