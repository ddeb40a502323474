"""Dialogs: questions, help, the editor and details, over any place."""
