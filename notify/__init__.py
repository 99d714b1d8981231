"""The way out: signed HTTP, SMTP and mail templates. Never decides who gets what."""
