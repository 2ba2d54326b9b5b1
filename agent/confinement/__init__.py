"""Children that work on bytes from elsewhere, and can be lost.

Always true here: a child is limited before it touches such bytes, it ends with its agent, and what it
answers is bounded and judged by the agent. What a kernel does not have of Landlock or namespaces is left out;
the limits on memory, time, files and rights are always there.
"""
