"""Backups of a running hub: its rows at one instant, every byte they name, and its keys, sealed.

Always true here: a backup counts once `backup.json` is there, which is written last; a restore goes
into an empty hub alone, and every byte is checked against what the backup says of it.
"""
