//! Rooms, participants, publications, subscriptions, permissions, speakers: decisions, no bytes.

pub mod command;
pub mod event;
pub mod model;
