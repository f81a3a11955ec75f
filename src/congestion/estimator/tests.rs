//! The estimator on a model of a link, in virtual time.

mod behaviour;
mod hostile;
mod link;
