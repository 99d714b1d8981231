"""Pages for people: an app of its own, and the kit that its pages share."""
