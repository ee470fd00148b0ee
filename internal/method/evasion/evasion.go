// Package evasion holds the methods that look for adversarial examples of one unit, the
// battery in which they run together, and the checks by which a reader can tell that a
// battery could have found what it did not find.
//
// A method's first query is of a point that it has reason to ask about; what it may ask, and what
// counts, is the harness's to say (package method).
package evasion
