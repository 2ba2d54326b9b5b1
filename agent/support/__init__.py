"""What goes into a support bundle: facts that are named here one by one, never files as they are.

The types that the state is read with have no field for a secret: no value of an environment, no key, token
or sample becomes an object of this program, so none can be written. What modules print is other
people's text and goes in only when it is asked for.
"""
