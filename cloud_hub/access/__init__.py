"""Who may do what: tokens of people and services, and the roles they carry."""
