//! The operator's tool
