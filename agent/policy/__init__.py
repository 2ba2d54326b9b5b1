"""What the owner of this device allows modules, whoever signed for them.

Always true here: the judgement is pure; nothing is allowed that is not said; a policy that cannot be read
allows nothing new; what runs is never stopped by a policy.
"""
