//! Broadcasts as their surroundings see them: publishers come, vanish, return and are replaced; viewers' views stay true.
//!
//! In → Out: synthetic publishers under virtual time → statuses and views.
//! Spec: design "Segments"; cases ING-17, ING-18, ING-19, ING-34.

mod lives;
mod stage;
