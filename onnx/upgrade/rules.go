package upgrade

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// rules gives, for each operator whose form has changed, how the old becomes the new.
func rules() map[string]rule {
	return map[string]rule{
		"Squeeze":   before(13, toInputs("axes")),
		"Unsqueeze": before(13, toInputs("axes")),
		"ReduceSum": before(13, toInputs("axes")),

		"ReduceL1":        before(18, toInputs("axes")),
		"ReduceL2":        before(18, toInputs("axes")),
		"ReduceLogSum":    before(18, toInputs("axes")),
		"ReduceLogSumExp": before(18, toInputs("axes")),
		"ReduceMax":       before(18, toInputs("axes")),
		"ReduceMean":      before(18, toInputs("axes")),
		"ReduceMin":       before(18, toInputs("axes")),
		"ReduceProd":      before(18, toInputs("axes")),
		"ReduceSumSquare": before(18, toInputs("axes")),

		"Slice":   before(10, toInputs("starts", "ends", "axes")),
		"TopK":    before(10, topK),
		"Split":   before(18, split),
		"Pad":     before(11, pad),
		"Clip":    before(11, clip),
		"Dropout": before(12, dropout),
		"DFT":     before(20, dft),

		"Softmax":    before(13, coerced),
		"LogSoftmax": before(13, coerced),
		"Hardmax":    before(13, coerced),

		"BatchNormalization": before(14, batchNorm),
		"GroupNormalization": before(21, groupNorm),

		"Upsample":   upsample, // withdrawn in 10
		"Resize":     before(19, resize),
		"GridSample": before(20, gridSample),
		"RoiAlign":   before(16, roiAlign),

		"Scatter": scatter, // withdrawn in 11
		"Scan":    before(9, scan),
	}
}

// before applies a rule to nodes of operator sets older than version.
func before(version int64, r rule) rule {
	return func(u *upgrader, n *onnx.Node) error {
		if u.from >= version {
			u.emit(n)
			return nil
		}
		return r(u, n)
	}
}

// toInputs makes lists of integers that were attributes the inputs after the first.
func toInputs(names ...string) rule {
	return func(u *upgrader, n *onnx.Node) error {
		for i, name := range names {
			if n.Has(name) {
				input(n, 1+i, u.ints(n.Ints(name)...))
				delete(n.Attrs, name)
			}
		}
		u.emit(n)
		return nil
	}
}

func topK(u *upgrader, n *onnx.Node) error {
	input(n, 1, u.ints(n.Int("k", 1)))
	delete(n.Attrs, "k")
	u.emit(n)
	return nil
}

func split(u *upgrader, n *onnx.Node) error {
	if n.Has("split") {
		input(n, 1, u.ints(n.Ints("split")...))
		delete(n.Attrs, "split")
	}
	if n.Input(1) == "" {
		set(n, "num_outputs", int64(len(n.Outputs)))
	}
	u.emit(n)
	return nil
}

func set(n *onnx.Node, name string, value any) {
	if n.Attrs == nil {
		n.Attrs = onnx.Attrs{}
	}
	n.Attrs[name] = value
}

func pad(u *upgrader, n *onnx.Node) error {
	input(n, 1, u.ints(n.Ints("pads")...))
	if value := n.Float("value", 0); value != 0 {
		input(n, 2, u.number(value, n.Input(0)))
	}
	delete(n.Attrs, "pads")
	delete(n.Attrs, "value")
	u.emit(n)
	return nil
}

// clip keeps the limits that apply where none are given: the largest finite numbers,
// which an infinite input meets.
func clip(u *upgrader, n *onnx.Node) error {
	input(n, 1, u.number(n.Float("min", -math.MaxFloat32), n.Input(0)))
	input(n, 2, u.number(n.Float("max", math.MaxFloat32), n.Input(0)))
	delete(n.Attrs, "min")
	delete(n.Attrs, "max")
	u.emit(n)
	return nil
}

// dropout keeps its ratio, which matters only in training. Before operator set 10 the
// mask had the type of the data.
func dropout(u *upgrader, n *onnx.Node) error {
	input(n, 1, u.constant(onnx.Scalar("", n.Float("ratio", 0.5))))
	delete(n.Attrs, "ratio")
	mask := n.Output(1)
	if mask == "" || u.from >= 10 {
		u.emit(n)
		return nil
	}
	n.Outputs = []string{n.Output(0), u.names.Name(mask)}
	u.emit(n)
	u.emit(&onnx.Node{Op: "CastLike", Inputs: []string{n.Output(1), n.Input(0)}, Outputs: []string{mask}})
	return nil
}

func dft(u *upgrader, n *onnx.Node) error {
	input(n, 2, u.constant(onnx.Scalar("", n.Int("axis", 1))))
	delete(n.Attrs, "axis")
	u.emit(n)
	return nil
}

// coerced brings Softmax and its kin, which once saw their input as a matrix split at
// the axis, to their form along one axis.
func coerced(u *upgrader, n *onnx.Node) error {
	axis := n.Int("axis", 1)
	x := n.Input(0)
	if shape := u.types.Shape(x); shape != nil && (axis == -1 || axis == int64(len(shape))-1) {
		set(n, "axis", int64(-1))
		u.emit(n)
		return nil
	}
	matrix := u.op("Flatten", onnx.Attrs{"axis": axis}, x)
	y := u.op(n.Op, onnx.Attrs{"axis": int64(-1)}, matrix)
	u.become(n, "Reshape", nil, y, u.shape(x))
	return nil
}

// shape is the shape of a value, a constant where it is known.
func (u *upgrader) shape(x string) string {
	if sizes, fixed := u.types.Shape(x).Sizes(); fixed && !slices.Contains(sizes, 0) {
		return u.ints(sizes...)
	}
	return u.op("Shape", nil, x)
}

// batchNorm had its mode by the number of its outputs.
func batchNorm(u *upgrader, n *onnx.Node) error {
	training := slices.ContainsFunc(n.Outputs[1:], func(o string) bool { return o != "" })
	if n.Int("spatial", 1) == 0 {
		if training {
			return errors.New("training with spatial=0, one mean for each place of a channel, has no new form")
		}
		return eachActivation(u, n)
	}
	delete(n.Attrs, "spatial")
	if !training {
		n.Outputs = n.Outputs[:1]
		u.emit(n)
		return nil
	}
	if n.Output(3) != "" || n.Output(4) != "" {
		return errors.New("its outputs saved_mean and saved_var have no new form")
	}
	n.Outputs = n.Outputs[:min(len(n.Outputs), 3)]
	set(n, "training_mode", int64(1))
	u.emit(n)
	return nil
}

// eachActivation is BatchNormalization with a mean for each place of a channel.
func eachActivation(u *upgrader, n *onnx.Node) error {
	x := n.Input(0)
	centred := u.op("Sub", nil, x, n.Input(3))
	deviation := u.op("Sqrt", nil, u.op("Add", nil, n.Input(4), u.number(n.Float("epsilon", 1e-5), x)))
	scaled := u.op("Mul", nil, u.op("Div", nil, centred, deviation), n.Input(1))
	u.become(n, "Add", nil, scaled, n.Input(2))
	return nil
}

// groupNorm had one scale and bias for each group, and has one for each channel.
func groupNorm(u *upgrader, n *onnx.Node) error {
	groups := n.Int("num_groups", 1)
	if groups < 1 {
		return fmt.Errorf("its num_groups is %d", groups)
	}
	channels := u.op("Shape", onnx.Attrs{"start": int64(1), "end": int64(2)}, n.Input(0))
	each := u.op("Concat", onnx.Attrs{"axis": int64(0)}, u.ints(groups), u.op("Div", nil, channels, u.ints(groups)))
	if c := u.types.Sizes(each); len(c) == 2 && c[1].Known() {
		each = u.ints(groups, c[1].Size)
	}
	for _, i := range []int{1, 2} {
		column := u.op("Unsqueeze", nil, n.Input(i), u.ints(1))
		input(n, i, u.op("Reshape", nil, u.op("Expand", nil, column, each), u.ints(-1)))
	}
	u.emit(n)
	return nil
}

func gridSample(u *upgrader, n *onnx.Node) error {
	switch n.Text("mode", "bilinear") {
	case "bilinear":
		set(n, "mode", "linear")
	case "bicubic":
		set(n, "mode", "cubic")
	}
	u.emit(n)
	return nil
}

func roiAlign(u *upgrader, n *onnx.Node) error {
	set(n, "coordinate_transformation_mode", "output_half_pixel")
	u.emit(n)
	return nil
}

// scatter goes by another name since operator set 11.
func scatter(u *upgrader, n *onnx.Node) error {
	n.Op = "ScatterElements"
	u.emit(n)
	return nil
}

// scan of operator set 8 ran over each element of a batch by itself: a scan over the
// batch whose body is the scan.
func scan(u *upgrader, n *onnx.Node) error {
	if n.Input(0) != "" {
		return errors.New("its sequence_lens have no new form: export the model with operator set 9 or newer")
	}
	body := n.Graph("body")
	if body == nil || len(body.Inputs) != len(n.Inputs)-1 || len(body.Outputs) != len(n.Outputs) {
		return errors.New("its body does not have its inputs and outputs")
	}
	inner := &onnx.Node{Op: "Scan", Attrs: onnx.Attrs{
		"body": body, "num_scan_inputs": n.Int("num_scan_inputs", 0),
	}}
	if n.Has("directions") {
		inner.Attrs["scan_input_directions"] = n.Ints("directions")
	}
	each := &onnx.Graph{Name: u.names.Name("batch"), Nodes: []*onnx.Node{inner}}
	for _, in := range body.Inputs {
		name := u.names.Name(in.Name)
		inner.Inputs = append(inner.Inputs, name)
		each.Inputs = append(each.Inputs, onnx.Value{Name: name, Type: onnx.TensorOf(in.Type.Elem, nil)})
	}
	for _, out := range body.Outputs {
		name := u.names.Name(out.Name)
		inner.Outputs = append(inner.Outputs, name)
		each.Outputs = append(each.Outputs, onnx.Value{Name: name, Type: onnx.TensorOf(out.Type.Elem, nil)})
	}
	n.Inputs = n.Inputs[1:]
	n.Attrs = onnx.Attrs{"body": each, "num_scan_inputs": int64(len(n.Inputs))}
	u.emit(n)
	return nil
}
