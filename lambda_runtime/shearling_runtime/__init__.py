"""The generic Lambda handler: locates its bundle at start-up and answers all kinds of events."""
