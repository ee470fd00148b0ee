package float64eval

import (
	"math"
	"slices"

	"assay/onnx"
)

// resize interpolates along one dimension after the other, which is the same as all
// at once: the weights are products.
func resize(n *onnx.Node, in []*array) ([]*array, error) {
	x := in[0]
	axes := n.Ints("axes")
	if axes == nil {
		for d := range x.shape {
			axes = append(axes, int64(d))
		}
	}
	y := x
	for i, axis := range resizePlan(n, in, axes) {
		if axes[i] < 0 {
			axes[i] += int64(len(x.shape))
		}
		y = axis.apply(n, y, int(axes[i]))
	}
	return one(y)
}

// resizeAxis is what happens along one dimension.
type resizeAxis struct {
	out        int
	scale      float64
	start, end float64 // of the region of interest
}

func resizePlan(n *onnx.Node, in []*array, axes []int64) []resizeAxis {
	x, roi, scales, sizes := in[0], optional(in, 1), optional(in, 2), optional(in, 3)
	plan := make([]resizeAxis, len(axes))
	for i, axis := range axes {
		if axis < 0 {
			axis += int64(len(x.shape))
		}
		size := float64(x.shape[axis])
		a := &plan[i]
		a.end = 1
		if roi != nil && len(roi.data) > 0 {
			a.start, a.end = roi.data[i], roi.data[len(axes)+i]
		}
		if sizes != nil && len(sizes.data) > 0 {
			a.out = int(sizes.data[i])
			a.scale = sizes.data[i] / size
			continue
		}
		a.scale = scales.data[i]
		length := size
		if n.Text("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
			length *= a.end - a.start
		}
		a.out = int(math.Floor(length * a.scale))
	}
	policy := n.Text("keep_aspect_ratio_policy", "stretch")
	if sizes == nil || len(sizes.data) == 0 || policy == "stretch" {
		return plan
	}
	least, most := math.Inf(1), math.Inf(-1)
	for _, a := range plan {
		least, most = min(least, a.scale), max(most, a.scale)
	}
	for i := range plan {
		if plan[i].scale = least; policy == "not_smaller" {
			plan[i].scale = most
		}
		axis := axes[i]
		if axis < 0 {
			axis += int64(len(x.shape))
		}
		plan[i].out = int(math.Floor(plan[i].scale*float64(x.shape[axis]) + 0.5))
	}
	return plan
}

// original gives the place in the input of a place in the output.
func (a resizeAxis) original(n *onnx.Node, i, size int) float64 {
	out, in, at := float64(a.out), float64(size), float64(i)
	switch n.Text("coordinate_transformation_mode", "half_pixel") {
	case "half_pixel_symmetric":
		adjustment := out / (a.scale * in)
		return in/2*(1-adjustment) + (at+0.5)/a.scale - 0.5
	case "pytorch_half_pixel":
		if a.out <= 1 {
			return 0
		}
	case "align_corners":
		if a.out == 1 {
			return 0
		}
		return at * (in - 1) / (out - 1)
	case "asymmetric":
		return at / a.scale
	case "tf_crop_and_resize":
		if a.out > 1 {
			return a.start*(in-1) + at*(a.end-a.start)*(in-1)/(out-1)
		}
		return 0.5 * (a.start + a.end) * (in - 1)
	}
	return (at+0.5)/a.scale - 0.5
}

// weights gives the elements that make one element of the output, and their weights.
func (a resizeAxis) weights(n *onnx.Node, at float64, size int) map[int]float64 {
	out := map[int]float64{}
	mode := n.Text("mode", "nearest")
	if mode == "nearest" {
		out[clamp(nearest(n, at), size)] = 1
		return out
	}
	shrink := 1.0 // how much wider the filter is where details are smoothed away
	if n.Int("antialias", 0) != 0 {
		shrink = max(1, 1/a.scale)
	}
	reach, filter := 1.0, func(d float64) float64 { return max(0, 1-math.Abs(d)) }
	if mode == "cubic" {
		reach, filter = 2, cubic(float64(n.Float("cubic_coeff_a", -0.75)))
	}
	outside := n.Int("exclude_outside", 0) != 0
	total := 0.0
	for i := int(math.Floor(at - reach*shrink)); i <= int(math.Ceil(at+reach*shrink)); i++ {
		w := filter((float64(i) - at) / shrink)
		if w == 0 || outside && (i < 0 || i >= size) {
			continue
		}
		out[clamp(i, size)] += w
		total += w
	}
	for i := range out {
		out[i] /= total
	}
	return out
}

func clamp(i, size int) int { return min(max(i, 0), size-1) }

func nearest(n *onnx.Node, at float64) int {
	switch n.Text("nearest_mode", "round_prefer_floor") {
	case "round_prefer_ceil":
		return int(math.Floor(at + 0.5))
	case "floor":
		return int(math.Floor(at))
	case "ceil":
		return int(math.Ceil(at))
	}
	return int(math.Ceil(at - 0.5))
}

// cubic is the convolution kernel of Keys (1981).
func cubic(a float64) func(float64) float64 {
	return func(d float64) float64 {
		switch d = math.Abs(d); {
		case d <= 1:
			return (a+2)*d*d*d - (a+3)*d*d + 1
		case d < 2:
			return a*d*d*d - 5*a*d*d + 8*a*d - 4*a
		}
		return 0
	}
}

func (a resizeAxis) apply(n *onnx.Node, x *array, axis int) *array {
	size := x.shape[axis]
	if a.out == size && a.scale == 1 && a.start == 0 && a.end == 1 {
		return x
	}
	shape := slices.Clone(x.shape)
	shape[axis] = a.out
	crop := n.Text("coordinate_transformation_mode", "") == "tf_crop_and_resize"
	rows := make([]map[int]float64, a.out) // nil where the place is outside
	for i := range rows {
		at := a.original(n, i, size)
		if crop && (at < 0 || at > float64(size-1)) {
			continue
		}
		rows[i] = a.weights(n, at, size)
	}
	y := newArray(shape...)
	each(shape, func(at []int, i int) {
		row := rows[at[axis]]
		if row == nil {
			y.data[i] = float64(n.Float("extrapolation_value", 0))
			return
		}
		from := slices.Clone(at)
		for j, w := range row {
			from[axis] = j
			y.data[i] += w * x.at(from...)
		}
	})
	return y
}
