package float64eval

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"assay/internal/model/ort"
	"assay/onnx"
)

// controlFlow gives the kernel of a node with subgraphs, nil for other nodes. The
// subgraphs run node by node in the scope of the values that they capture.
func (e *Evaluator) controlFlow(n *onnx.Node, names []string) kernel {
	type flow func(n *onnx.Node, in []Value, scope map[string]Value) ([]Value, error)
	f, ok := map[string]flow{"If": e.branch, "Loop": e.loop, "Scan": e.scan}[n.OpType()]
	if !ok {
		return nil
	}
	return func(inputs []Value) ([]Value, error) {
		scope := map[string]Value{}
		for i := len(n.Inputs); i < len(names); i++ {
			scope[names[i]] = inputs[i]
		}
		return f(n, inputs[:len(n.Inputs)], scope)
	}
}

// subgraph evaluates a graph on its inputs, in order.
func (e *Evaluator) subgraph(g *onnx.Graph, inputs []Value, scope map[string]Value) ([]Value, error) {
	values := maps.Clone(scope)
	if err := e.constants(g, values); err != nil {
		return nil, err
	}
	for i, v := range g.Inputs {
		values[v.Name] = inputs[i]
	}
	if err := e.nodes(g, values); err != nil {
		return nil, err
	}
	out := make([]Value, len(g.Outputs))
	for i, v := range g.Outputs {
		out[i] = values[v.Name]
	}
	return out, nil
}

func (e *Evaluator) branch(n *onnx.Node, in []Value, scope map[string]Value) ([]Value, error) {
	name := "else_branch"
	if truth(in[0]) {
		name = "then_branch"
	}
	return e.subgraph(n.Graph(name), nil, scope)
}

func (e *Evaluator) loop(n *onnx.Node, in []Value, scope map[string]Value) ([]Value, error) {
	body := n.Graph("body")
	trips, again := int64(math.MaxInt64), Value(ort.NewTensor([]bool{true}, []int64{}...))
	if in[0] != nil {
		trips = ort.Data[int64](in[0].(*ort.Tensor))[0]
	}
	if len(in) > 1 && in[1] != nil {
		again = in[1]
	}
	carried := slices.Clone(in[2:])
	stacks := make([][]*array, len(body.Outputs)-1-len(carried))
	for i := int64(0); i < trips && truth(again); i++ {
		trip, err := ort.FromONNX(onnx.Scalar("", i))
		if err != nil {
			return nil, err
		}
		out, err := e.subgraph(body, slices.Concat([]Value{trip, again}, carried), scope)
		if err != nil {
			return nil, err
		}
		again = out[0]
		copy(carried, out[1:])
		for j, v := range out[1+len(carried):] {
			a, err := fromValue(v)
			if err != nil {
				return nil, err
			}
			stacks[j] = append(stacks[j], a)
		}
	}
	outputs := carried
	for j, s := range stacks {
		v, err := stacked(s, 0, false, body.Outputs[1+len(carried)+j])
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, v)
	}
	return outputs, nil
}

func (e *Evaluator) scan(n *onnx.Node, in []Value, scope map[string]Value) ([]Value, error) {
	body, scans := n.Graph("body"), int(n.Int("num_scan_inputs", 1))
	carried := slices.Clone(in[:len(in)-scans])
	sources := make([]*array, scans)
	for i := range sources {
		a, err := fromValue(in[len(carried)+i])
		if err != nil {
			return nil, err
		}
		axis := at(n.Ints("scan_input_axes"), i)
		if axis < 0 {
			axis += len(a.shape)
		}
		sources[i] = a.transposed(slices.Concat([]int{axis}, without(len(a.shape), axis))...)
	}
	steps := sources[0].shape[0]
	stacks := make([][]*array, len(body.Outputs)-len(carried))
	for t := range steps {
		inputs := slices.Clone(carried)
		for i, a := range sources {
			k := t
			if at(n.Ints("scan_input_directions"), i) == 1 {
				k = steps - 1 - t
			}
			size := len(a.data) / steps
			v, err := (&array{elem: a.elem, shape: a.shape[1:], data: a.data[k*size : (k+1)*size]}).value()
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, v)
		}
		out, err := e.subgraph(body, inputs, scope)
		if err != nil {
			return nil, err
		}
		copy(carried, out)
		for j, v := range out[len(carried):] {
			a, err := fromValue(v)
			if err != nil {
				return nil, err
			}
			stacks[j] = append(stacks[j], a)
		}
	}
	outputs := carried
	for j, s := range stacks {
		v, err := stacked(s, at(n.Ints("scan_output_axes"), j), at(n.Ints("scan_output_directions"), j) == 1, body.Outputs[len(carried)+j])
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, v)
	}
	return outputs, nil
}

// at gives an element of a list that may be left out, which means zeros.
func at(list []int64, i int) int {
	if i < len(list) {
		return int(list[i])
	}
	return 0
}

// without lists the dimensions but one.
func without(rank, axis int) []int {
	var rest []int
	for d := range rank {
		if d != axis {
			rest = append(rest, d)
		}
	}
	return rest
}

// stacked joins what the rounds of a loop gave along a new axis.
func stacked(list []*array, axis int, reverse bool, like onnx.Value) (Value, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("%q of no rounds is not evaluated", like.Name)
	}
	if reverse {
		list = slices.Clone(list)
		slices.Reverse(list)
	}
	all := &array{elem: list[0].elem, shape: slices.Concat([]int{len(list)}, list[0].shape)}
	for _, a := range list {
		all.data = append(all.data, a.data...)
	}
	if axis < 0 {
		axis += len(all.shape)
	}
	if axis > 0 {
		perm := slices.Insert(without(len(all.shape), 0), axis, 0)
		elem := all.elem
		all = all.transposed(perm...)
		all.elem = elem
	}
	return all.value()
}

func truth(v Value) bool { return ort.Data[bool](v.(*ort.Tensor))[0] }
