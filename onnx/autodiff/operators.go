package autodiff

import "assay/onnx"

// gradient is the rule of an operator: given the gradients dy of a node's outputs
// ("" where none flows), it appends what computes those of the inputs and gives
// their names, "" for an input without one. It need not compute what pass.wants
// says is of no use.
type gradient func(p *pass, n *onnx.Node, dy []string) ([]string, error)

// operator is what this package knows of an ONNX operator. The zero operator has
// no gradient.
type operator struct {
	gradient gradient
	straight bool   // the gradient is the identity's instead of zero
	zero     bool   // the gradient is zero wherever it is defined
	because  string // why there is no gradient

	shapeOnly bool // the output depends on the shapes of the inputs alone

	// expand replaces the node by others before a gradient is taken through it.
	expand composition
	// inside stands in for the general walk at an operator with graphs in it: it walks
	// these, and adds to reached the values that the node takes which are reached
	// through them. Its answer is why the node has no gradient, "" where it has one.
	inside func(p *pass, n *onnx.Node, reached map[string]bool) (because string)
}

func (o operator) reason() string {
	if o.because == "" {
		return "Assay has no rule for it"
	}
	return o.because
}

// operators is every operator with a gradient, or with a reason not to have one,
// under its name with its domain. The families stand in files of their own.
var operators = join(
	elementwise, linear, convolution, pooling, shaping, indexing, reduction, resizing, sampling, transforms, containing, normalisation, quantisation, dropout, control, recurrent, discontinuous,
)

func join(families ...map[string]operator) map[string]operator {
	all := map[string]operator{}
	for _, family := range families {
		for name, op := range family {
			if _, twice := all[name]; twice {
				panic("autodiff: two rules for " + name)
			}
			all[name] = op
		}
	}
	return all
}
