"""Plans: monthly grants and renewal enforcement, on beat."""
