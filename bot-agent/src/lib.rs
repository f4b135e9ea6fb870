//! skeleton

pub mod datapath {
    //! skeleton
    pub mod object;
}
