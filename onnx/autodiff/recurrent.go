package autodiff

import (
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// recurrent holds the operators that run over a sequence. They are differentiated as
// the Scan of elementary operators that they are defined as.
var recurrent = map[string]operator{
	"RNN":  {expand: sequential(1, rnnCell, "Tanh")},
	"GRU":  {expand: sequential(3, gruCell, "Sigmoid", "Tanh")},
	"LSTM": {expand: sequential(4, lstmCell, "Sigmoid", "Tanh", "Tanh")},
}

// cell prepares a direction outside of the Scan: it gives the bias to add to the
// inputs, "" for none, and the step from states to states. The state first is the
// hidden one, the layer's output.
type cell func(d *direction) (bias string, next recurrence)

// recurrence writes one step: gates are the products with the input, [N, gates·hidden].
type recurrence func(b *onnx.Builder, gates string, states []string) []string

// direction is one direction of a recurrent layer. Biases and peepholes are "" where
// there are none.
type direction struct {
	*expander
	node        *onnx.Node
	hidden      int64
	float       onnx.DataType
	w, r        string // [gates·hidden, inputs], [gates·hidden, hidden]
	wb, rb      string // [gates·hidden]
	peepholes   string // [3·hidden]
	initial     []string
	activations []activation
	reversed    int64
}

// sequence is what the directions of a layer share.
type sequence struct {
	*expander
	node   *onnx.Node
	hidden int64
	float  onnx.DataType
	x      string // [T, N, inputs]
	batch  onnx.Dim
	valid  string // [T, N, 1], whether a step is within its sequence; "" where all are
	empty  string // [N, 1], whether a sequence has no step
}

// sequential is the expansion of a recurrent layer.
func sequential(gates int64, cell cell, activations ...string) composition {
	return func(e *expander, n *onnx.Node) ([]string, error) {
		s := &sequence{expander: e, node: n, float: e.elem(n.Input(0))}
		directions, err := s.directions(gates, activations)
		if err != nil {
			return nil, err
		}
		var ys []string
		finals := make([][]string, states(n))
		for _, d := range directions {
			y, states := s.scan(d, cell)
			ys = append(ys, e.Op("Unsqueeze", nil, y, e.Ints(1)))
			for i, state := range states {
				finals[i] = append(finals[i], e.Op("Unsqueeze", nil, state, e.Ints(0)))
			}
		}
		whole := func(parts []string, axis int64, perm []int64) string {
			joined := parts[0]
			if len(parts) > 1 {
				joined = e.Op("Concat", onnx.Attrs{"axis": axis}, parts...)
			}
			if n.Int("layout", 0) != 0 {
				joined = e.Op("Transpose", onnx.Attrs{"perm": perm}, joined)
			}
			return joined
		}
		given := []string{whole(ys, 1, []int64{2, 0, 1, 3})}
		for _, parts := range finals {
			given = append(given, whole(parts, 0, []int64{1, 0, 2}))
		}
		return outputs(n, given...), nil
	}
}

// states is how many states a step hands on.
func states(n *onnx.Node) int {
	if n.Op == "LSTM" {
		return 2
	}
	return 1
}

// directions reads the node.
func (s *sequence) directions(gates int64, defaults []string) ([]*direction, error) {
	n := s.node
	var reversed []int64
	switch how := n.Text("direction", "forward"); how {
	case "forward":
		reversed = []int64{0}
	case "reverse":
		reversed = []int64{1}
	case "bidirectional":
		reversed = []int64{0, 1}
	default:
		return nil, fmt.Errorf("its direction %q is none of forward, reverse, bidirectional", how)
	}
	r := s.shape(n.Input(2))
	s.hidden = n.Int("hidden_size", 0)
	if len(r) == 3 && r[2].Known() {
		s.hidden = r[2].Size
	}
	if s.hidden <= 0 {
		return nil, fmt.Errorf("its hidden_size is not known")
	}
	functions, err := activations(n, defaults, len(reversed))
	if err != nil {
		return nil, err
	}
	s.arrange()
	count := len(reversed)
	w, recurrence, bias := s.split(n.Input(1), count), s.split(n.Input(2), count), s.split(n.Input(3), count)
	var peepholes []string
	initial := [][]string{s.initial(n.Input(5), count)}
	if n.Op == "LSTM" {
		initial = append(initial, s.initial(n.Input(6), count))
		peepholes = s.split(n.Input(7), count)
	}
	all := make([]*direction, count)
	for i := range all {
		d := &direction{expander: s.expander, node: n, hidden: s.hidden, float: s.float, reversed: reversed[i]}
		d.w, d.r = w[i], recurrence[i]
		if bias != nil {
			parts := s.parts(s.Builder, bias[i], 0, gates*s.hidden, gates*s.hidden)
			d.wb, d.rb = parts[0], parts[1]
		}
		if peepholes != nil {
			d.peepholes = peepholes[i]
		}
		for _, states := range initial {
			d.initial = append(d.initial, states[i])
		}
		d.activations = functions[i*len(defaults) : (i+1)*len(defaults)]
		all[i] = d
	}
	return all, nil
}

// arrange puts time first and finds the lengths of the sequences.
func (s *sequence) arrange() {
	n := s.node
	s.x, s.batch = n.Input(0), onnx.Dim{Size: -1}
	shape := slices.Clone(s.shape(s.x))
	if n.Int("layout", 0) != 0 {
		s.x = s.Op("Transpose", onnx.Attrs{"perm": []int64{1, 0, 2}}, s.x)
		if len(shape) == 3 {
			shape[0], shape[1] = shape[1], shape[0]
		}
	}
	steps := onnx.Dim{Size: -1}
	if len(shape) == 3 {
		steps, s.batch = shape[0], shape[1]
	}
	lengths := n.Input(4)
	if lengths == "" || s.full(lengths, steps) {
		return
	}
	one := s.Number(onnx.Int64, 1)
	count := s.Op("Gather", nil, s.Op("Shape", nil, s.x), s.Number(onnx.Int64, 0))
	rounds := s.Op("Range", nil, s.Number(onnx.Int64, 0), count, one)
	long := s.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, lengths)
	long = s.Op("Unsqueeze", nil, long, s.Ints(1))
	s.valid = s.Op("Less", nil, s.Op("Unsqueeze", nil, rounds, s.Ints(1, 2)), long)
	s.empty = s.Op("Equal", nil, long, s.Number(onnx.Int64, 0))
}

// full reports whether all sequences are certain to have every step.
func (s *sequence) full(lengths string, steps onnx.Dim) bool {
	c := s.types.Constant(lengths)
	if c == nil || !steps.Known() {
		return false
	}
	values, err := c.Int64s()
	return err == nil && !slices.ContainsFunc(values, func(n int64) bool { return n != steps.Size })
}

// split gives each direction's part of an input that has them first, nil where the
// input is left out.
func (s *sequence) split(input string, directions int) []string {
	if input == "" {
		return nil
	}
	parts := []string{input}
	if directions > 1 {
		parts = s.parts(s.Builder, input, 0, 1, 1)
	}
	for i := range parts {
		parts[i] = s.Op("Squeeze", nil, parts[i], s.Ints(0))
	}
	return parts
}

// initial gives each direction's state before the first step, [N, hidden].
func (s *sequence) initial(input string, directions int) []string {
	if input == "" {
		batch := s.Op("Slice", nil, s.Op("Shape", nil, s.x), s.Ints(1), s.Ints(2))
		shape := s.Op("Concat", onnx.Attrs{"axis": int64(0)}, batch, s.Ints(s.hidden))
		if s.batch.Known() {
			shape = s.Ints(s.batch.Size, s.hidden)
		}
		zero, err := onnx.FromFloat64s("", s.float, []float64{0})
		if err != nil {
			panic("autodiff: " + err.Error())
		}
		return slices.Repeat([]string{s.Op("ConstantOfShape", onnx.Attrs{"value": zero}, shape)}, directions)
	}
	if s.node.Int("layout", 0) != 0 {
		input = s.Op("Transpose", onnx.Attrs{"perm": []int64{1, 0, 2}}, input)
	}
	return s.split(input, directions)
}

// turned is the transpose of a matrix.
func (e *expander) turned(x string) string {
	return e.Op("Transpose", onnx.Attrs{"perm": []int64{1, 0}}, x)
}

// parts splits a value along an axis.
func (e *expander) parts(b *onnx.Builder, x string, axis int64, sizes ...int64) []string {
	return slices.Clone(b.Ops("Split", onnx.Attrs{"axis": axis}, len(sizes), x, b.Ints(sizes...)))
}

// scan runs a direction: the products with the inputs are one for all steps, the rest
// is a Scan. It gives the hidden states of all steps, [T, N, hidden], and the final
// states.
func (s *sequence) scan(d *direction, cell cell) (y string, final []string) {
	bias, next := cell(d)
	gates := s.Op("MatMul", nil, s.x, s.turned(d.w))
	if bias != "" {
		gates = s.Op("Add", nil, gates, bias)
	}
	b := s.Body(s.node.Name + "_step")
	input := func(hint string, elem onnx.DataType, width int64) string {
		return b.Input(hint, elem, s.batch, width)
	}
	var before []string
	for _, hint := range []string{"hidden", "cell"}[:len(d.initial)] {
		before = append(before, input(hint, s.float, s.hidden))
	}
	inputs := []string{gates}
	after := next(b, b.Input("gates", s.float, s.batch, -1), before)
	hidden := after[0]
	if s.valid != "" {
		inputs = append(inputs, s.valid)
		valid := input("valid", onnx.Bool, 1)
		for i := range after {
			after[i] = b.Op("Where", nil, valid, after[i], before[i])
		}
		hidden = b.Op("Where", nil, valid, hidden, b.Number(s.float, 0))
	}
	state := onnx.Dims(s.batch, s.hidden)
	for _, v := range after {
		b.Output(v, s.float, state)
	}
	b.OutputAs("step", hidden, s.float, state)
	outputs := s.Ops("Scan", onnx.Attrs{
		"body": b.Graph, "num_scan_inputs": int64(len(inputs)),
		"scan_input_directions":  slices.Repeat([]int64{d.reversed}, len(inputs)),
		"scan_output_directions": []int64{d.reversed},
	}, len(after)+1, slices.Concat(d.initial, inputs)...)
	y, final = outputs[len(after)], slices.Clone(outputs[:len(after)])
	if s.empty != "" { // ONNX Runtime's final states of an empty sequence are zero
		for i := range final {
			final[i] = s.Op("Where", nil, s.empty, s.Number(s.float, 0), final[i])
		}
	}
	return y, final
}

// sumOfBiases is what is added in every gate where the two biases are not told apart.
func (d *direction) sumOfBiases() string {
	if d.wb == "" {
		return ""
	}
	return d.Op("Add", nil, d.wb, d.rb)
}

// gate writes the activation of a gate, of its argument clipped where the node says
// so. ONNX Runtime does not clip the cell state before its activation, nor is it
// clipped here.
func (d *direction) gate(b *onnx.Builder, i int, x string) string {
	if clip := float64(d.node.Float("clip", 0)); clip > 0 {
		x = b.Op("Clip", nil, x, b.Number(d.float, -clip), b.Number(d.float, clip))
	}
	return d.activations[i](b, d.float, x)
}

// rnnCell: H = f(X·Wᵀ + H·Rᵀ + Wb + Rb).
func rnnCell(d *direction) (string, recurrence) {
	r := d.turned(d.r)
	return d.sumOfBiases(), func(b *onnx.Builder, gates string, states []string) []string {
		return []string{d.gate(b, 0, b.Op("Add", nil, gates, b.Op("MatMul", nil, states[0], r)))}
	}
}

// lstmCell is the LSTM with gates in the order input, output, forget, cell.
func lstmCell(d *direction) (string, recurrence) {
	r := d.turned(d.r)
	var peepholes []string
	if d.peepholes != "" {
		peepholes = d.parts(d.Builder, d.peepholes, 0, d.hidden, d.hidden, d.hidden)
	}
	return d.sumOfBiases(), func(b *onnx.Builder, gates string, states []string) []string {
		h, c := states[0], states[1]
		gates = b.Op("Add", nil, gates, b.Op("MatMul", nil, h, r))
		var in, out, forget, content string
		peek := func(gate, c string, i int) string {
			return d.gate(b, 0, b.Op("Add", nil, gate, b.Op("Mul", nil, peepholes[i], c)))
		}
		if peepholes == nil { // three gates at once
			parts := d.parts(b, gates, 1, 3*d.hidden, d.hidden)
			three := d.parts(b, d.gate(b, 0, parts[0]), 1, d.hidden, d.hidden, d.hidden)
			in, out, forget, content = three[0], three[1], three[2], parts[1]
		} else {
			four := d.parts(b, gates, 1, d.hidden, d.hidden, d.hidden, d.hidden)
			in, out, forget, content = peek(four[0], c, 0), four[1], peek(four[2], c, 2), four[3]
		}
		if d.node.Int("input_forget", 0) != 0 {
			forget = b.Op("Sub", nil, b.Number(d.float, 1), in)
		}
		c = b.Op("Add", nil, b.Op("Mul", nil, forget, c), b.Op("Mul", nil, in, d.gate(b, 1, content)))
		if peepholes != nil {
			out = peek(out, c, 1)
		}
		return []string{b.Op("Mul", nil, out, d.activations[2](b, d.float, c)), c}
	}
}

// gruCell is the GRU with gates in the order update, reset, hidden.
func gruCell(d *direction) (string, recurrence) {
	if d.node.Int("linear_before_reset", 0) != 0 {
		return gruAfterCell(d)
	}
	parts := d.parts(d.Builder, d.r, 0, 2*d.hidden, d.hidden)
	rGates, rHidden := d.turned(parts[0]), d.turned(parts[1])
	return d.sumOfBiases(), func(b *onnx.Builder, gates string, states []string) []string {
		h := states[0]
		pre := d.parts(b, gates, 1, 2*d.hidden, d.hidden)
		two := d.gate(b, 0, b.Op("Add", nil, pre[0], b.Op("MatMul", nil, h, rGates)))
		updateReset := d.parts(b, two, 1, d.hidden, d.hidden)
		past := b.Op("MatMul", nil, b.Op("Mul", nil, updateReset[1], h), rHidden)
		return d.blend(b, updateReset[0], b.Op("Add", nil, pre[1], past), h)
	}
}

// gruAfterCell resets after the product with the state, whose bias is reset too.
func gruAfterCell(d *direction) (string, recurrence) {
	r, bias, rHidden := d.turned(d.r), "", ""
	if d.wb != "" {
		w, r := d.parts(d.Builder, d.wb, 0, 2*d.hidden, d.hidden), d.parts(d.Builder, d.rb, 0, 2*d.hidden, d.hidden)
		bias = d.Op("Concat", onnx.Attrs{"axis": int64(0)}, d.Op("Add", nil, w[0], r[0]), w[1])
		rHidden = r[1]
	}
	return bias, func(b *onnx.Builder, gates string, states []string) []string {
		h := states[0]
		pre := d.parts(b, gates, 1, 2*d.hidden, d.hidden)
		past := d.parts(b, b.Op("MatMul", nil, h, r), 1, 2*d.hidden, d.hidden)
		two := d.gate(b, 0, b.Op("Add", nil, pre[0], past[0]))
		updateReset := d.parts(b, two, 1, d.hidden, d.hidden)
		if rHidden != "" {
			past[1] = b.Op("Add", nil, past[1], rHidden)
		}
		return d.blend(b, updateReset[0], b.Op("Add", nil, pre[1], b.Op("Mul", nil, updateReset[1], past[1])), h)
	}
}

// blend is the GRU's (1-z)·g(content) + z·h.
func (d *direction) blend(b *onnx.Builder, z, content, h string) []string {
	fresh := d.gate(b, 1, content)
	return []string{b.Op("Add", nil, fresh, b.Op("Mul", nil, z, b.Op("Sub", nil, h, fresh)))}
}

// activation writes an activation function.
type activation func(b *onnx.Builder, elem onnx.DataType, x string) string

// scaled are the activation functions with parameters: their number, their defaults
// (those of the operator of the same name) and how they are written.
var scaled = map[string]struct {
	parameters  int
	alpha, beta float32
	write       func(b *onnx.Builder, elem onnx.DataType, x string, alpha, beta float32) string
}{
	"Affine": {2, 1, 0, func(b *onnx.Builder, elem onnx.DataType, x string, alpha, beta float32) string {
		return b.Op("Add", nil, b.Op("Mul", nil, x, b.Number(elem, float64(alpha))), b.Number(elem, float64(beta)))
	}},
	"ScaledTanh": {2, 1, 1, func(b *onnx.Builder, elem onnx.DataType, x string, alpha, beta float32) string {
		return b.Op("Mul", nil, b.Op("Tanh", nil, b.Op("Mul", nil, x, b.Number(elem, float64(beta)))), b.Number(elem, float64(alpha)))
	}},
	"HardSigmoid": {2, 0.2, 0.5, func(b *onnx.Builder, _ onnx.DataType, x string, alpha, beta float32) string {
		return b.Op("HardSigmoid", onnx.Attrs{"alpha": alpha, "beta": beta}, x)
	}},
	"LeakyRelu": {1, 0.01, 0, func(b *onnx.Builder, _ onnx.DataType, x string, alpha, _ float32) string {
		return b.Op("LeakyRelu", onnx.Attrs{"alpha": alpha}, x)
	}},
	"ThresholdedRelu": {1, 1, 0, func(b *onnx.Builder, _ onnx.DataType, x string, alpha, _ float32) string {
		return b.Op("ThresholdedRelu", onnx.Attrs{"alpha": alpha}, x)
	}},
	"Elu": {1, 1, 0, func(b *onnx.Builder, _ onnx.DataType, x string, alpha, _ float32) string {
		return b.Op("Elu", onnx.Attrs{"alpha": alpha}, x)
	}},
}

// activations reads the functions of all directions. Each takes its parameters from
// the lists of alphas and betas, as long as these last.
func activations(n *onnx.Node, defaults []string, directions int) ([]activation, error) {
	names := n.Texts("activations")
	if names == nil {
		names = slices.Repeat(defaults, directions)
	}
	if len(names) != len(defaults)*directions {
		return nil, fmt.Errorf("it has %d activations and needs %d", len(names), len(defaults)*directions)
	}
	alphas, betas := n.Floats("activation_alpha"), n.Floats("activation_beta")
	take := func(list *[]float32, otherwise float32) float32 {
		if len(*list) == 0 {
			return otherwise
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}
	all := make([]activation, len(names))
	for i, name := range names {
		switch name {
		case "Relu", "Tanh", "Sigmoid", "Softsign", "Softplus":
			all[i] = func(b *onnx.Builder, _ onnx.DataType, x string) string { return b.Op(name, nil, x) }
			continue
		}
		s, ok := scaled[name]
		if !ok {
			return nil, fmt.Errorf("its activation %q is none of ONNX's", name)
		}
		alpha, beta := s.alpha, s.beta
		alpha = take(&alphas, alpha)
		if s.parameters > 1 {
			beta = take(&betas, beta)
		}
		if math.IsNaN(float64(alpha)) || math.IsNaN(float64(beta)) {
			return nil, fmt.Errorf("a parameter of its activation %s is not a number", name)
		}
		all[i] = func(b *onnx.Builder, elem onnx.DataType, x string) string { return s.write(b, elem, x, alpha, beta) }
	}
	return all, nil
}
