"""What `billing doctor` examines: one file for each thing, each yields diagnoses."""
