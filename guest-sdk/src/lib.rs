//! What authors of Greenroom modules import
