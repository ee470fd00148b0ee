package float64eval

import (
	"fmt"

	"assay/onnx"
)

// reference computes a node's outputs with plain loops. Inputs left out are nil, and
// so may be outputs that the node does not name.
type reference func(n *onnx.Node, in []*array) ([]*array, error)

// referenceKernel gives the Go reference of a node, nil where there is none.
func (e *Evaluator) referenceKernel(n *onnx.Node, names []string) kernel {
	if flow := e.controlFlow(n, names); flow != nil {
		return flow
	}
	r, ok := references[n.OpType()]
	if !ok {
		return nil
	}
	return func(inputs []Value) (outputs []Value, err error) {
		in := make([]*array, len(inputs))
		for i, v := range inputs {
			if in[i], err = fromValue(v); err != nil {
				return nil, err
			}
		}
		out, err := r(n, in)
		if err != nil {
			return nil, err
		}
		outputs = make([]Value, len(n.Outputs))
		for i, name := range n.Outputs {
			if name == "" {
				continue
			}
			if i >= len(out) || out[i] == nil {
				return nil, fmt.Errorf("the reference does not compute output %d", i)
			}
			if outputs[i], err = out[i].value(); err != nil {
				return nil, err
			}
		}
		return outputs, nil
	}
}

// references is every operator that is computed here, under its name with its domain.
var references = join(activations, windows, normalizations, discretes)

func join(families ...map[string]reference) map[string]reference {
	all := map[string]reference{}
	for _, f := range families {
		for name, r := range f {
			all[name] = r
		}
	}
	return all
}

// optional gives the i-th input, nil where there is none.
func optional(in []*array, i int) *array {
	if i < len(in) {
		return in[i]
	}
	return nil
}

// one wraps a single output.
func one(a *array) ([]*array, error) { return []*array{a}, nil }
