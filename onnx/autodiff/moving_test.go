package autodiff

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"assay/onnx"
)

func TestShapeGradients(t *testing.T) {
	const end = 1 << 40
	x := shapesOf([]int64{3, 4, 5})
	image := shapesOf([]int64{2, 8, 4, 6})
	checkDifferences(t, []operatorCase{
		{name: "reshape", shapes: x, build: apply("Reshape", nil, ints(0, -1))},
		{name: "flatten", shapes: x, build: apply("Flatten", onnx.Attrs{"axis": int64(2)})},
		{name: "unsqueeze", shapes: x, build: apply("Unsqueeze", nil, ints(-1, 0))},
		{name: "squeeze", shapes: shapesOf([]int64{1, 3, 1}), build: apply("Squeeze", nil, ints(0))},
		{name: "transpose", shapes: x, build: apply("Transpose", onnx.Attrs{"perm": []int64{1, 2, 0}})},
		{name: "transpose reversed", shapes: x, build: apply("Transpose", nil)},
		{name: "concat", shapes: shapesOf([]int64{3, 1, 5}, []int64{3, 4, 5}, []int64{3, 2, 5}), build: apply("Concat", onnx.Attrs{"axis": int64(-2)})},
		{name: "concat twice", shapes: shapesOf([]int64{2, 3}), build: func(b *onnx.Builder, in ...string) string {
			return b.Op("Concat", onnx.Attrs{"axis": int64(0)}, in[0], b.Op("Exp", nil, in[0]), in[0])
		}},
		{name: "split", shapes: x, build: func(b *onnx.Builder, in ...string) string {
			parts := b.Ops("Split", onnx.Attrs{"axis": int64(1)}, 3, in[0], b.Ints(1, 2, 1))
			return b.Op("Mul", nil, parts[0], parts[2])
		}},
		{name: "slice", shapes: x, build: apply("Slice", nil, ints(1, -4), ints(end, 3), ints(0, 2))},
		{name: "slice steps", shapes: x, build: apply("Slice", nil, ints(0, 3, -1), ints(3, -end, 0), ints(0, 1, 2), ints(2, -2, -2))},
		{name: "slice one of a stride", shapes: x, build: apply("Slice", nil, ints(1, 0), ints(2, 5), ints(1, 2), ints(3, 4))},
		{name: "slice computed", shapes: x, build: hidden("Slice", nil, ints(-2, 1), ints(end, 3), ints(0, 2))},
		{name: "slice computed steps", shapes: x, build: hidden("Slice", nil, ints(2, 1), ints(-end, 5), ints(0, 2), ints(-1, 2))},
		{name: "slice without axes", shapes: x, build: apply("Slice", nil, ints(1, 1), ints(2, 3))},
		{name: "pad", shapes: shapesOf([]int64{3, 4}, []int64{}), build: func(b *onnx.Builder, in ...string) string {
			return b.Op("Pad", nil, in[0], b.Ints(1, -1, 0, 2), in[1])
		}},
		{name: "pad axes", shapes: x, build: apply("Pad", nil, ints(1, 2, -1, 3), nil, ints(-1, 0))},
		{name: "pad computed", shapes: x, build: hidden("Pad", nil, ints(1, 2, 1, 3), nil, ints(-1, 0))},
		{name: "pad reflect", shapes: image, build: apply("Pad", onnx.Attrs{"mode": "reflect"}, ints(0, 0, 3, 2, 0, 0, 1, 5))},
		{name: "pad reflect long", shapes: shapesOf([]int64{2, 40}), build: apply("Pad", onnx.Attrs{"mode": "reflect"}, ints(0, 7, 0, 5))},
		{name: "pad edge", shapes: image, build: apply("Pad", onnx.Attrs{"mode": "edge"}, ints(0, 1, 3, 2, 2, 0, 1, 5))},
		{name: "pad wrap", shapes: image, build: apply("Pad", onnx.Attrs{"mode": "wrap"}, ints(3, 2, 1, 5), nil, ints(2, 3))},
		{name: "pad edge computed", shapes: x, build: hidden("Pad", onnx.Attrs{"mode": "edge"}, ints(1, 2, 1, 3), nil, ints(-1, 0))},
		{name: "expand", shapes: shapesOf([]int64{3, 1}), build: apply("Expand", nil, ints(2, 3, 4))},
		{name: "tile", shapes: x, build: apply("Tile", nil, ints(2, 1, 3))},
		{name: "depth to space", shapes: image, build: apply("DepthToSpace", onnx.Attrs{"blocksize": int64(2)})},
		{name: "space to depth", shapes: image, build: apply("SpaceToDepth", onnx.Attrs{"blocksize": int64(2)})},
		{name: "trilu", shapes: x, build: apply("Trilu", onnx.Attrs{"upper": int64(0)}, onnx.Scalar("", int64(1)))},
		{name: "reverse sequence", shapes: x, build: apply("ReverseSequence", onnx.Attrs{"batch_axis": int64(1), "time_axis": int64(0)}, ints(1, 2, 3, 2))},
		{name: "center crop pad", shapes: x, build: apply("CenterCropPad", nil, ints(6, 1, 2))},
		{name: "center crop pad axes", shapes: x, build: apply("CenterCropPad", onnx.Attrs{"axes": []int64{-1, 0}}, ints(8, 2))},
		{name: "the shape alone", shapes: x, build: func(b *onnx.Builder, in ...string) string {
			return b.Op("Mul", nil, in[0], b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("Size", nil, in[0])))
		}},
		{name: "depth to space columns first", shapes: image, build: apply("DepthToSpace", onnx.Attrs{"blocksize": int64(2), "mode": "CRD"})},
	})
}

func TestIndexGradients(t *testing.T) {
	x := shapesOf([]int64{4, 3, 5})
	scatter := func(reduction string) operatorCase {
		return operatorCase{name: "scatter elements " + reduction, shapes: shapesOf([]int64{3, 4}, []int64{3, 3}),
			build: func(b *onnx.Builder, in ...string) string {
				index := matrix(3, 0, 1, -1, 3, 2, 0, 1, 1, 2)
				if reduction == "none" {
					index = matrix(3, 0, 1, -1, 3, 2, 0, 1, 0, 2)
				}
				return b.Op("ScatterElements", onnx.Attrs{"axis": int64(1), "reduction": reduction}, in[0], b.Constant(index), in[1])
			}}
	}
	scatterND := func(reduction string) operatorCase {
		return operatorCase{name: "scatter nd " + reduction, shapes: shapesOf([]int64{4, 3, 2}, []int64{3, 2}),
			build: func(b *onnx.Builder, in ...string) string {
				index := matrix(3, 0, 1, -1, 2, 1, 0)
				if reduction != "none" {
					index = matrix(3, 0, 1, 0, 1, 0, -2)
				}
				return b.Op("ScatterND", onnx.Attrs{"reduction": reduction}, in[0], b.Constant(index), in[1])
			}}
	}
	zeros := scatter("mul")
	zeros.name, zeros.given = "scatter elements mul with zeros", map[int][]float64{1: {1, 0, 2, 3, 0, 5, 0, 2, 1}}
	cases := []operatorCase{zeros,
		{name: "gather", shapes: x, build: apply("Gather", onnx.Attrs{"axis": int64(1)}, matrix(2, 0, 2, -1, 0))},
		{name: "gather rows", shapes: x, build: apply("Gather", nil, ints(3, 1, 1))},
		{name: "gather one", shapes: x, build: apply("Gather", onnx.Attrs{"axis": int64(-1)}, onnx.Scalar("", int64(-2)))},
		{name: "gather in order", shapes: x, build: apply("Gather", onnx.Attrs{"axis": int64(2)}, ints(1, 2, 3))},
		{name: "gather all, turned", shapes: x, build: apply("Gather", onnx.Attrs{"axis": int64(1)}, ints(2, 0, 1))},
		{name: "gather some", shapes: x, build: apply("Gather", onnx.Attrs{"axis": int64(2)}, matrix(2, 4, -5))},
		{name: "gather computed", shapes: x, build: hidden("Gather", onnx.Attrs{"axis": int64(2)}, matrix(2, 4, -5))},
		{name: "gather elements", shapes: shapesOf([]int64{3, 4}), build: apply("GatherElements", onnx.Attrs{"axis": int64(1)}, matrix(2, 0, -1, 3, 3, 1, 1))},
		{name: "gather nd", shapes: x, build: apply("GatherND", nil, matrix(3, 0, 1, -1, 2, 0, 1))},
		{name: "gather nd in batches", shapes: shapesOf([]int64{2, 3, 4}), build: apply("GatherND", onnx.Attrs{"batch_dims": int64(1)}, matrix(2, 0, -1))},
		{name: "compress", shapes: x, build: apply("Compress", onnx.Attrs{"axis": int64(1)}, onnx.NewTensor("", []bool{true, false, true}, 3))},
		{name: "compress all", shapes: x, build: apply("Compress", nil, onnx.NewTensor("", []bool{false, true, true, false, true}, 5))},
		{name: "top k", shapes: x, build: func(b *onnx.Builder, in ...string) string {
			return b.Ops("TopK", onnx.Attrs{"axis": int64(0), "largest": int64(0)}, 2, in[0], b.Ints(2))[0]
		}},
	}
	for _, reduction := range []string{"none", "add", "mul", "max", "min"} {
		cases = append(cases, scatter(reduction), scatterND(reduction))
	}
	checkDifferences(t, cases)
}

func TestReductionGradients(t *testing.T) {
	x := shapesOf([]int64{3, 4, 2})
	var cases []operatorCase
	for _, op := range []string{"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
		"ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"} {
		positive := func(build func(b *onnx.Builder, in ...string) string) func(b *onnx.Builder, in ...string) string {
			return func(b *onnx.Builder, in ...string) string {
				if op == "ReduceLogSum" {
					in = []string{b.Op("Exp", nil, in[0])}
				}
				return build(b, in...)
			}
		}
		dropped := onnx.Attrs{"keepdims": int64(0)}
		noop := onnx.Attrs{"noop_with_empty_axes": int64(1)}
		add := func(name string, build func(b *onnx.Builder, in ...string) string) {
			cases = append(cases, operatorCase{name: op + " " + name, shapes: x, build: positive(build)})
		}
		add("axes", apply(op, nil, ints(-1, 0)))
		add("dropped", apply(op, dropped, ints(1, -1)))
		add("all", apply(op, nil))
		add("all dropped", apply(op, dropped))
		add("computed", hidden(op, dropped, ints(1)))
		add("no axes", apply(op, noop, ints()))
	}
	cases = append(cases,
		operatorCase{name: "product with zeros", shapes: shapesOf([]int64{4, 3}), build: apply("ReduceProd", nil, ints(1)),
			given: map[int][]float64{0: {1, 2, 3, 0, 2, 3, 4, 0, 0, -2, 5, 1}}},
		operatorCase{name: "sums", shapes: x, build: apply("CumSum", nil, onnx.Scalar("", int64(1)))},
		operatorCase{name: "sums before", shapes: x, build: apply("CumSum", onnx.Attrs{"exclusive": int64(1)}, onnx.Scalar("", int64(-1)))},
		operatorCase{name: "sums behind", shapes: x, build: apply("CumSum", onnx.Attrs{"exclusive": int64(1), "reverse": int64(1)}, onnx.Scalar("", int64(0)))},
	)
	checkDifferences(t, cases)
}

func TestResizeGradients(t *testing.T) {
	var cases []operatorCase
	image := shapesOf([]int64{2, 3, 4, 6})
	add := func(name string, attrs onnx.Attrs, constants ...*onnx.Tensor) {
		cases = append(cases, operatorCase{name: name, shapes: image, build: apply("Resize", attrs, constants...)})
	}
	for _, coordinates := range []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"} {
		for _, mode := range []string{"linear", "cubic"} {
			attrs := onnx.Attrs{"mode": mode, "coordinate_transformation_mode": coordinates}
			add(mode+" "+coordinates, attrs, nil, floats(1, 1, 1.6, 0.7))
			add(mode+" sizes "+coordinates, attrs, nil, nil, ints(2, 3, 9, 5))
		}
		for _, rounding := range []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"} {
			attrs := onnx.Attrs{"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
			add("nearest "+coordinates+" "+rounding, attrs, nil, floats(1, 1, 1.6, 0.7))
			add("nearest twice "+coordinates+" "+rounding, attrs, nil, floats(1, 1, 2, 3))
			add("nearest sizes "+coordinates+" "+rounding, attrs, nil, nil, ints(2, 3, 8, 12))
		}
	}
	add("antialias", onnx.Attrs{"mode": "linear", "antialias": int64(1)}, nil, floats(1, 1, 0.6, 0.4))
	add("cubic antialias", onnx.Attrs{"mode": "cubic", "antialias": int64(1)}, nil, floats(1, 1, 0.6, 0.4))
	add("cubic without outside", onnx.Attrs{"mode": "cubic", "exclude_outside": int64(1)}, nil, floats(1, 1, 1.5, 0.6))
	add("axes", onnx.Attrs{"mode": "linear", "axes": []int64{3, 2}}, nil, floats(1.5, 0.5))
	add("crop", onnx.Attrs{"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
		floats(0, 0, 0.2, -0.1, 1, 1, 0.7, 0.8), nil, ints(2, 3, 5, 7))
	for _, policy := range []string{"not_larger", "not_smaller"} {
		for _, mode := range []string{"nearest", "linear", "cubic"} {
			attrs := onnx.Attrs{"mode": mode, "keep_aspect_ratio_policy": policy, "axes": []int64{2, 3}}
			add(mode+" "+policy, attrs, nil, nil, ints(7, 7))
			add(mode+" smaller "+policy, attrs, nil, nil, ints(3, 5))
		}
	}
	cases = append(cases,
		operatorCase{name: "volume", shapes: shapesOf([]int64{1, 2, 3, 4, 2}), build: apply("Resize", onnx.Attrs{"mode": "linear"}, nil, floats(1, 1, 2, 1.5, 2))},
		operatorCase{name: "nearest volume", shapes: shapesOf([]int64{1, 2, 3, 4, 2}), build: apply("Resize", nil, nil, floats(1, 1, 2, 1, 3))},
		operatorCase{name: "nearest flat", shapes: shapesOf([]int64{3, 4}), build: apply("Resize", nil, nil, floats(2, 3))},
	)
	checkAdjoint(t, cases)
	kept := operatorCase{name: "aspect", shapes: image, build: apply("Resize", onnx.Attrs{"keep_aspect_ratio_policy": "not_larger", "axes": []int64{2, 3}, "coordinate_transformation_mode": "align_corners"}, nil, nil, ints(7, 7))}
	if _, err := pullbackModel(kept.model(onnx.Float32, true), "Resize", onnx.Float32, []string{"x"}); err == nil || !strings.Contains(err.Error(), "keep_aspect_ratio_policy") {
		t.Errorf("with an aspect ratio to keep: %v", err)
	}
}

func TestSamplingGradients(t *testing.T) {
	var cases []operatorCase
	for _, mode := range []string{"linear", "nearest", "cubic"} {
		for _, padding := range []string{"zeros", "border", "reflection"} {
			for align := range int64(2) {
				attrs := onnx.Attrs{"mode": mode, "padding_mode": padding, "align_corners": align}
				cases = append(cases, operatorCase{name: fmt.Sprint("grid sample ", mode, padding, align),
					shapes: shapesOf([]int64{2, 2, 4, 5}, []int64{2, 3, 4, 2}), build: apply("GridSample", attrs)})
			}
		}
	}
	cases = append(cases, operatorCase{name: "grid sample in a volume",
		shapes: shapesOf([]int64{1, 2, 3, 4, 5}, []int64{1, 2, 2, 3, 3}), build: apply("GridSample", nil)})
	checkDifferences(t, cases)
	columns := func(attrs onnx.Attrs) operatorCase {
		return operatorCase{name: fmt.Sprint("columns ", attrs), shapes: shapesOf([]int64{2, 12, 9}), build: apply("Col2Im", attrs, ints(7, 4), ints(3, 2))}
	}
	checkAdjoint(t, []operatorCase{
		columns(onnx.Attrs{"strides": []int64{2, 1}}),
		columns(onnx.Attrs{"strides": []int64{3, 1}, "pads": []int64{2, 0, 1, 0}}),
	})
	regions := func(attrs onnx.Attrs) operatorCase {
		return operatorCase{name: fmt.Sprint("regions ", attrs), shapes: shapesOf([]int64{2, 3, 6, 5}), build: func(b *onnx.Builder, in ...string) string {
			rois := onnx.NewTensor("", []float32{0, 0, 4, 5, 1.5, 2.2, 3.7, 3.1, -3, -2, 9, 8}, 3, 4)
			return b.Op("RoiAlign", attrs, in[0], b.Constant(rois), b.Ints(1, 0, 1))
		}}
	}
	checkAdjoint(t, []operatorCase{
		regions(onnx.Attrs{"output_height": int64(2), "output_width": int64(3), "sampling_ratio": int64(2)}),
		regions(onnx.Attrs{"output_height": int64(2), "output_width": int64(2), "sampling_ratio": int64(3), "spatial_scale": float32(0.5), "coordinate_transformation_mode": "output_half_pixel"}),
		{name: "deformed", shapes: shapesOf([]int64{2, 4, 6, 5}), build: func(b *onnx.Builder, in ...string) string {
			offset := b.Op("Expand", nil, b.Constant(floats(0.3, -0.7, 1.2, 0.4, -2.6)), b.Ints(2, 16, 3, 5))
			weight := make([]float32, 6*2*4)
			for i := range weight {
				weight[i] = float32(i%7) - 3
			}
			return b.Op("DeformConv", onnx.Attrs{"group": int64(2), "offset_group": int64(2), "strides": []int64{2, 1}, "pads": []int64{1, 0, 0, 1}},
				in[0], b.Constant(onnx.NewTensor("", weight, 6, 2, 2, 2)), offset)
		}},
		{name: "unpool", shapes: shapesOf([]int64{1, 1, 2, 2}), build: apply("MaxUnpool", onnx.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, onnx.NewTensor("", []int64{1, 2, 8, 15}, 1, 1, 2, 2))},
	})
}

func TestRegionGradients(t *testing.T) {
	for _, mode := range []string{"half_pixel", "output_half_pixel"} {
		attrs := onnx.Attrs{"output_height": int64(2), "output_width": int64(3), "sampling_ratio": int64(2),
			"spatial_scale": float32(0.5), "coordinate_transformation_mode": mode}
		c := operatorCase{name: mode, shapes: shapesOf([]int64{2, 3, 6, 5}, []int64{3, 4}),
			build: apply("RoiAlign", attrs, ints(1, 0, 1)),
			given: map[int][]float64{1: {0.3, 0.2, 8.1, 9.7, 3.1, 4.3, 4.4, 5.2, -5.3, -3.2, 17.3, 15.6}}}
		checkSteps(t, c, 1, 4e-3, 2e-3)
	}
}

func TestDeterminantGradient(t *testing.T) {
	for _, size := range []int64{1, 2, 4} {
		c := operatorCase{name: "determinant", shapes: shapesOf([]int64{2, size, size}), build: apply("Det", nil)}
		checkSteps(t, c, 0, 0.5, 1e-5) // it is linear in each element
	}
	singular := operatorCase{name: "singular", shapes: shapesOf([]int64{3, 3}), build: apply("Det", nil),
		given: map[int][]float64{0: {1, 2, 3, 2, 4, 6, 1, 0, 1}}}
	checkSteps(t, singular, 0, 0.5, 1e-5)
}

func TestSequenceGradients(t *testing.T) {
	x := shapesOf([]int64{5, 3})
	split := func(attrs onnx.Attrs, sizes *onnx.Tensor, join onnx.Attrs) func(b *onnx.Builder, in ...string) string {
		return func(b *onnx.Builder, in ...string) string {
			list := apply("SplitToSequence", attrs, sizes)(b, b.Op("Expand", nil, in[0], b.Ints(5, 3)))
			last := b.Op("SequenceAt", nil, list, b.Number(onnx.Int64, -1))
			list = b.Op("SequenceInsert", nil, list, b.Op("Exp", nil, last), b.Number(onnx.Int64, 0))
			list = b.Op("SequenceErase", nil, list, b.Number(onnx.Int64, -2))
			count := b.Op("Cast", onnx.Attrs{"to": int64(onnx.Float32)}, b.Op("SequenceLength", nil, list))
			return b.Op("Mul", nil, b.Op("ConcatFromSequence", join, list), count)
		}
	}
	join := onnx.Attrs{"axis": int64(0)}
	checkDifferences(t, []operatorCase{
		{name: "rows", shapes: x, build: split(onnx.Attrs{"keepdims": int64(0)}, nil, onnx.Attrs{"axis": int64(1), "new_axis": int64(1)})},
		{name: "parts", shapes: x, build: split(nil, onnx.Scalar("", int64(2)), join)},
		{name: "sizes", shapes: x, build: split(nil, ints(1, 3, 1), join)},
		{name: "made", shapes: x, build: func(b *onnx.Builder, in ...string) string {
			list := b.Op("SequenceConstruct", nil, in[0], b.Op("Sin", nil, in[0]))
			return b.Op("ConcatFromSequence", onnx.Attrs{"axis": int64(1)}, b.Op("Identity", nil, list))
		}},
		{name: "optional", shapes: x, build: func(b *onnx.Builder, in ...string) string {
			return b.Op("OptionalGetElement", nil, b.Op("Optional", nil, b.Op("Sin", nil, in[0])))
		}},
	})
	unknown := operatorCase{name: "unknown", shapes: x, build: func(b *onnx.Builder, in ...string) string {
		return b.Op("SequenceAt", nil, b.Op("SplitToSequence", nil, in[0]), b.Number(onnx.Int64, 0))
	}}
	m := unknown.model(onnx.Float32, false)
	g, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	var none *NotDifferentiable
	if _, err := g.Gradient(m.Graph.Outputs[0].Name, "x"); !errors.As(err, &none) || len(none.Nodes) != 2 {
		t.Errorf("through a sequence of unknown length: %v", err)
	}
}

func TestTransformGradients(t *testing.T) {
	at := func(axis int64) *onnx.Tensor { return onnx.Scalar("", axis) }
	real, complex := shapesOf([]int64{2, 5, 3, 1}), shapesOf([]int64{2, 5, 3, 2})
	sided := onnx.Attrs{"onesided": int64(1)}
	inverse := onnx.Attrs{"inverse": int64(1)}
	var cases []operatorCase
	for _, length := range []*onnx.Tensor{nil, at(4), at(8)} {
		cases = append(cases,
			operatorCase{name: fmt.Sprint("real ", length != nil), shapes: real, build: apply("DFT", nil, length, at(1))},
			operatorCase{name: fmt.Sprint("one-sided ", length != nil), shapes: real, build: apply("DFT", sided, length, at(1))},
			operatorCase{name: fmt.Sprint("complex ", length != nil), shapes: complex, build: apply("DFT", nil, length, at(-3))},
			operatorCase{name: fmt.Sprint("inverse ", length != nil), shapes: complex, build: apply("DFT", inverse, length, at(1))},
		)
	}
	for name, build := range map[string]func(b *onnx.Builder, in ...string) string{
		"frames":             apply("STFT", nil, at(3), nil, at(8)),
		"frames, windowed":   apply("STFT", nil, at(2), floats(0.5, 1, 2, 1), at(4)),
		"frames, both sides": apply("STFT", onnx.Attrs{"onesided": int64(0)}, at(5), floats(0.5, 1, 2, 1, 0.5, 0.25, 1, 3)),
	} {
		cases = append(cases, operatorCase{name: name, shapes: shapesOf([]int64{2, 19, 1}), build: build})
	}
	checkAdjoint(t, cases)
}
