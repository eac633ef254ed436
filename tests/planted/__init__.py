"""Famous bugs of event-loop servers as patches to this one, and the proof that the quick tests catch each."""
