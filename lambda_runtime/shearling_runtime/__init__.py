"""The one generic handler: it discovers its bundle at start-up and answers every kind of event."""
