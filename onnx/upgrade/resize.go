package upgrade

import (
	"errors"
	"slices"

	"assay/onnx"
)

// upsample is the Resize of before its coordinate modes.
func upsample(u *upgrader, n *onnx.Node) error {
	scales := n.Input(1)
	if n.Has("scales") {
		list := n.Floats("scales")
		scales = u.constant(onnx.NewTensor("", list, int64(len(list))))
	}
	u.oldResize(n, n.Outputs[0], n.Input(0), scales, "floor")
	return nil
}

// oldResize emits a Resize in the terms of before operator set 11: place i of the
// output lies at i / scale of the input.
func (u *upgrader) oldResize(n *onnx.Node, out, x, scales, nearest string) {
	attrs := onnx.Attrs{"mode": n.Text("mode", "nearest"), "coordinate_transformation_mode": "asymmetric"}
	if attrs["mode"] == "nearest" {
		attrs["nearest_mode"] = nearest
	}
	u.emit(&onnx.Node{Name: n.Name, Op: "Resize", Inputs: []string{x, "", scales}, Outputs: []string{out}, Attrs: attrs, Doc: n.Doc})
}

func resize(u *upgrader, n *onnx.Node) error {
	if u.from < 11 {
		return resize10(u, n)
	}
	if n.Input(3) != "" { // scales and roi had to be there, but empty
		n.Inputs[2] = ""
	}
	mode := n.Text("coordinate_transformation_mode", "half_pixel")
	if mode != "tf_crop_and_resize" && n.Input(1) != "" {
		n.Inputs[1] = ""
	}
	if mode == "tf_half_pixel_for_nn" {
		if n.Text("mode", "nearest") != "nearest" || n.Text("nearest_mode", "round_prefer_floor") != "floor" {
			return errors.New("its coordinate mode tf_half_pixel_for_nn has a new form only for the nearest place rounded down")
		}
		// It lies half a place further than half_pixel: rounding it down is rounding that.
		set(n, "coordinate_transformation_mode", "half_pixel")
		set(n, "nearest_mode", "round_prefer_ceil")
	}
	u.emit(n)
	return nil
}

// resize10 took the nearest place below where it made larger, and above where it made
// smaller (so ONNX Runtime, and the cases of ONNX 1.5).
func resize10(u *upgrader, n *onnx.Node) error {
	x, scales := n.Input(0), n.Input(1)
	if n.Text("mode", "nearest") != "nearest" {
		u.oldResize(n, n.Outputs[0], x, scales, "")
		return nil
	}
	t := u.types.Constant(scales)
	if t == nil {
		return errors.New("the scales of a nearest Resize before operator set 11 must be constant: export the model with a newer one")
	}
	list, err := t.Float64s()
	if err != nil {
		return err
	}
	larger, smaller := make([]float32, len(list)), make([]float32, len(list))
	for i, s := range list {
		larger[i], smaller[i] = max(float32(s), 1), min(float32(s), 1)
	}
	factors := func(f []float32) string { return u.constant(onnx.NewTensor("", f, int64(len(f)))) }
	shrinks := slices.ContainsFunc(smaller, func(f float32) bool { return f < 1 })
	grows := slices.ContainsFunc(larger, func(f float32) bool { return f > 1 })
	switch {
	case !shrinks:
		u.oldResize(n, n.Outputs[0], x, scales, "floor")
	case !grows:
		u.oldResize(n, n.Outputs[0], x, scales, "ceil")
	default: // the axes are independent, so one after the other
		small := u.names.Name(n.Outputs[0] + "_small")
		first := *n
		first.Name = ""
		u.oldResize(&first, small, x, factors(smaller), "ceil")
		u.oldResize(n, n.Outputs[0], small, factors(larger), "floor")
	}
	return nil
}
