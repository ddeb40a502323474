"""Dialogs over any place: questions, help, the editor, and the details of a memory."""
