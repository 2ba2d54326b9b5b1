"""Devices: invitation, enrolment, what they say of themselves."""
