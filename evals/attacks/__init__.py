"""Texts that try to make answers do, show or tell what nobody asked for, planted where anybody can write."""
