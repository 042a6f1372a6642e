"""Dispatching: what the dispatcher is made of beside itself."""
