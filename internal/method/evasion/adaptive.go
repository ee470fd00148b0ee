package evasion

import (
	"strings"

	"assay"
	"assay/internal/method"
)

// BPDA has a method follow the target's surrogate gradients, which go through steps that have none of their own (backward pass
// differentiable approximation; Athalye et al. 2018, arXiv:1802.00420, section 4.1).
type BPDA struct{ method.Method }

// Describe tells what the method is.
func (m BPDA) Describe() method.Description {
	d := m.Method.Describe()
	d.Name, d.Surrogate = d.Name+"-bpda", true
	d.Reference += "; gradients as in Athalye et al. 2018 (arXiv:1802.00420), section 4.1"
	return d
}

// Adaptive fits methods to what a target has: those that follow gradients follow the exact ones, where there are any, and
// the surrogates, where these differ. An attack has to try both: either may lead where the other does not.
func Adaptive(t method.Target, methods []method.Method) []method.Method {
	var list []method.Method
	for _, m := range methods {
		d := m.Describe()
		gradients := d.Access == assay.Gradients && !d.Reads
		if !gradients || t.Gradient != nil {
			list = append(list, m)
		}
		if gradients && t.Surrogate != nil && t.Surrogate != t.Gradient {
			list = append(list, BPDA{m})
		}
	}
	return list
}

// Replaced names the steps of a target that its surrogates go through, "" where there are none.
func Replaced(t method.Target) string {
	if n, ok := t.Surrogate.(nodes); ok {
		return strings.Join(n.StraightThrough(), ", ")
	}
	return ""
}
