package infer

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// enter infers a subgraph whose inputs have the given values, and gives its outputs.
// Sizes that first come up inside mean nothing outside, and are unknown there.
func (c *call) enter(g *onnx.Graph, args []value) ([]value, error) {
	t := c.types
	mark := len(t.shared.sizes.atoms)
	inner := t.Within()
	t.inside[g] = inner
	for i, in := range g.Inputs {
		v := value{typ: in.Type}
		if i < len(args) {
			merged, err := t.merge(args[i].typ, in.Type)
			if err != nil {
				return nil, fmt.Errorf("graph %q: its input %q: %w", g.Name, in.Name, err)
			}
			v = value{typ: merged, content: args[i].content, tensor: args[i].tensor}
		}
		inner.adopt(v.typ, 0)
		inner.set(in.Name, &v)
	}
	if err := inner.body(g); err != nil {
		return nil, fmt.Errorf("graph %q: %w", g.Name, err)
	}
	outs := make([]value, len(g.Outputs))
	for i, o := range g.Outputs {
		v := inner.lookup(o.Name)
		if v == nil {
			return nil, fmt.Errorf("graph %q: nothing makes its output %q", g.Name, o.Name)
		}
		outs[i] = value{typ: t.leave(v.typ, mark)}
		if v.content != nil || v.tensor != nil {
			outs[i].content = t.leaveContent(v, mark)
		}
	}
	return outs, nil
}

// leave forgets the names of sizes that are younger than mark.
func (t *Types) leave(typ onnx.Type, mark int) onnx.Type {
	typ.Shape = slices.Clone(typ.Shape)
	for i, d := range typ.Shape {
		if !d.Known() && t.shared.sizes.age(fromDim(d)) >= mark {
			typ.Shape[i] = onnx.Dim{Size: -1}
		}
	}
	if typ.Of != nil {
		of := t.leave(*typ.Of, mark)
		typ.Of = &of
	}
	return typ
}

func (t *Types) leaveContent(v *value, mark int) *content {
	k := v.known()
	if k == nil || k.ints == nil {
		return k
	}
	out := &content{ints: slices.Clone(k.ints)}
	for i, x := range out.ints {
		if !x.known && (x.name == "" || t.shared.sizes.age(x) >= mark) {
			out.ints[i] = integer{}
		}
	}
	return out
}

// subgraphs infers the graphs of an operator that is not known, for what they say
// themselves.
func (c *call) subgraphs() error {
	for _, g := range c.n.Subgraphs() {
		if _, err := c.enter(g, nil); err != nil {
			return err
		}
	}
	return nil
}

// branch gives what either branch gives; where the condition is known, what that one gives.
func branch(c *call) error {
	yes, no := c.n.Graph("then_branch"), c.n.Graph("else_branch")
	if yes == nil || no == nil {
		return errors.New("it has not both branches")
	}
	which := c.scalar(0)
	a, err := c.enter(yes, nil)
	if err != nil && !same(which, number(0)) {
		return err
	}
	b, err := c.enter(no, nil)
	if err != nil && !(which.known && which.n != 0) {
		return err
	}
	switch { // a branch that is never taken may contradict itself
	case same(which, number(0)):
		a = b
	case which.known:
		b = a
	}
	if len(a) != len(b) || len(a) < len(c.outs) {
		return fmt.Errorf("its branches give %d and %d values for %d outputs", len(a), len(b), len(c.outs))
	}
	for i := range c.outs {
		if which.known {
			c.outs[i] = a[i]
		} else {
			c.outs[i] = value{typ: either(a[i].typ, b[i].typ)}
		}
	}
	return nil
}

// settle infers a body again until the values that it carries from round to round
// have types that hold in every round.
func (c *call) settle(body *onnx.Graph, args []value, first, carried, offset int) ([]value, error) {
	for round := 0; ; round++ {
		outs, err := c.enter(body, args)
		if err != nil {
			return nil, err
		}
		if len(outs) < offset+carried {
			return nil, fmt.Errorf("its body gives %d values, fewer than the %d it carries", len(outs), carried)
		}
		settled := true
		for i := range carried {
			arg := &args[first+i]
			next := either(arg.typ, outs[offset+i].typ)
			if round >= 2 {
				next.Shape = nil // two rounds have not settled it
			}
			if !alike(next, arg.typ) {
				settled = false
				arg.typ = next
			}
		}
		if settled {
			return outs, nil
		}
	}
}

// alike reports whether two types say the same.
func alike(a, b onnx.Type) bool {
	if a.Kind != b.Kind || a.Elem != b.Elem || (a.Shape == nil) != (b.Shape == nil) || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i := range a.Shape {
		if a.Shape[i] != b.Shape[i] {
			return false
		}
	}
	return (a.Of == nil) == (b.Of == nil) && (a.Of == nil || alike(*a.Of, *b.Of))
}

// loop has a trip count, a condition and carried values; its body gets the iteration,
// the condition and these, and gives the condition, the carried values and one piece
// of each stacked output.
func loop(c *call) error {
	body := c.n.Graph("body")
	if body == nil {
		return errors.New("it has no body")
	}
	carried := len(c.n.Inputs) - 2
	if carried < 0 || len(body.Inputs) != carried+2 {
		return fmt.Errorf("its body has %d inputs for %d carried values", len(body.Inputs), carried)
	}
	one := func(elem onnx.DataType, stated onnx.Type) value {
		shape := stated.Shape // a scalar, or a vector of one in older models
		if shape == nil {
			shape = onnx.Shape{}
		}
		return value{typ: onnx.TensorOf(elem, shape)}
	}
	args := []value{one(onnx.Int64, body.Inputs[0].Type), one(onnx.Bool, body.Inputs[1].Type)}
	for i := range carried {
		args = append(args, value{typ: c.in(2 + i).typ})
	}
	outs, err := c.settle(body, args, 2, carried, 1)
	if err != nil {
		return err
	}
	trips := c.scalar(0)
	if c.has(1) && !(same(c.scalar(1), number(1)) && steady(body)) || trips.known && trips.n < 0 {
		trips = integer{} // the condition may end the loop before
	}
	for i := range c.outs {
		if i < carried {
			c.outs[i] = value{typ: args[2+i].typ}
			continue
		}
		if 1+i >= len(outs) {
			return fmt.Errorf("its body gives %d values, too few for %d outputs", len(outs), len(c.outs))
		}
		t := outs[1+i].typ
		if t.Kind == onnx.KindTensor && t.Shape != nil {
			t.Shape = slices.Insert(slices.Clone(t.Shape), 0, trips.dim())
		}
		c.typed(i, t)
	}
	return nil
}

// steady reports whether a loop's body never ends the loop: it passes its condition
// on, or gives a constant true.
func steady(body *onnx.Graph) bool {
	if len(body.Outputs) == 0 || len(body.Inputs) < 2 {
		return false
	}
	name := body.Outputs[0].Name
	for _, n := range slices.Backward(body.Nodes) {
		if n.Output(0) != name {
			continue
		}
		switch n.OpType() {
		case "Identity", "Cast":
			name = n.Input(0)
		case "Constant":
			t := n.Tensor("value")
			return t != nil && isTrue(t)
		default:
			return false
		}
	}
	t := body.Initializer(name)
	return name == body.Inputs[1].Name || t != nil && isTrue(t)
}

func isTrue(t *onnx.Tensor) bool {
	if t.Type != onnx.Bool || t.Len() != 1 {
		return false
	}
	list, err := t.Int64s()
	return err == nil && list[0] != 0
}

// scan runs its body over slices of its last inputs, carrying states.
func scan(c *call) error {
	body := c.n.Graph("body")
	if body == nil {
		return errors.New("it has no body")
	}
	scanned := int(min(max(c.n.Int("num_scan_inputs", 0), 0), int64(len(c.n.Inputs))))
	states := len(c.n.Inputs) - scanned
	if len(body.Inputs) != len(c.n.Inputs) {
		return fmt.Errorf("its body has %d inputs, it has %d", len(body.Inputs), len(c.n.Inputs))
	}
	args := make([]value, len(c.n.Inputs))
	length := onnx.Dim{Size: -1}
	axes := c.n.Ints("scan_input_axes")
	for i := range args {
		args[i] = value{typ: c.in(i).typ}
		s := c.shape(i)
		if i < states || s == nil {
			continue
		}
		axis, err := axisOf(at(axes, i-states), len(s))
		if err != nil {
			return err
		}
		if length, err = agree(length, s[axis]); err != nil {
			return fmt.Errorf("its scanned inputs have different lengths: %w", err)
		}
		args[i].typ.Shape = slices.Delete(slices.Clone(s), axis, axis+1)
	}
	outs, err := c.settle(body, args, 0, states, 0)
	if err != nil {
		return err
	}
	places := c.n.Ints("scan_output_axes")
	for i := range c.outs {
		if i < states {
			c.outs[i] = value{typ: args[i].typ}
			continue
		}
		if i >= len(outs) {
			return fmt.Errorf("its body gives %d values, too few for %d outputs", len(outs), len(c.outs))
		}
		t := outs[i].typ
		if t.Shape != nil {
			axis, err := axisOf(at(places, i-states), len(t.Shape)+1)
			if err != nil {
				return err
			}
			t.Shape = slices.Insert(slices.Clone(t.Shape), axis, length)
		}
		c.typed(i, t)
	}
	return nil
}

// at is the i-th of a list of axes, 0 beyond its end.
func at(list []int64, i int) int64 {
	if i < len(list) {
		return list[i]
	}
	return 0
}
