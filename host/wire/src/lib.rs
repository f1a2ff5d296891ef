//! The protocol between actors as pure state machines
