// Package evasion holds the methods that look for adversarial examples of one unit, the
// battery in which they run together, and the controls and checks by which a reader can
// tell whether a battery could have found what it did not find.
//
// The checks are computed from what was recorded alone, so that whoever has the record can
// compute them again. One that has no meaning for an attacker's access passes and says so.
package evasion
