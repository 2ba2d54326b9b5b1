"""Archives that people give: read in a confined child, into a fresh folder, whole or not at all.

Regular files and folders, nothing else: no link of any kind is made, so nothing can be followed.
What is refused is in `names`, `tree`, and in the reader of each format.
"""
