package onnx

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"assay/onnx/internal/pb"
)

// halfValue is the value of a format of 16 bits by its definition in IEEE 754:
// (-1)^sign · 2^(exponent-bias) · 1.fraction.
func halfValue(h uint16, fractionBits int) float64 {
	exponentBits := 15 - fractionBits
	bias := 1<<(exponentBits-1) - 1
	exponent := int(h>>fractionBits) & (1<<exponentBits - 1)
	fraction := float64(h&(1<<fractionBits-1)) / float64(int(1)<<fractionBits)
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	switch {
	case exponent == 1<<exponentBits-1 && fraction != 0:
		return math.NaN()
	case exponent == 1<<exponentBits-1:
		return math.Inf(int(sign))
	case exponent == 0:
		return math.Copysign(fraction*math.Pow(2, float64(1-bias)), sign)
	}
	return sign * (1 + fraction) * math.Pow(2, float64(exponent-bias))
}

var halves = []struct {
	name         string
	fractionBits int
	widen        func(uint16) float32
	narrow       func(float32) uint16
	narrow64     func(float64) uint16
}{
	{"float16", 10, Float16ToFloat32, Float32ToFloat16, Float64ToFloat16},
	{"bfloat16", 7, BFloat16ToFloat32, Float32ToBFloat16, Float64ToBFloat16},
}

func TestEveryHalf(t *testing.T) {
	for _, f := range halves {
		t.Run(f.name, func(t *testing.T) {
			for i := range 1 << 16 {
				h := uint16(i)
				want, got := halfValue(h, f.fractionBits), f.widen(h)
				if math.IsNaN(want) {
					if got == got || f.widen(f.narrow(got)) == f.widen(f.narrow(got)) || f.widen(f.narrow64(math.NaN())) == 0 {
						t.Fatalf("%#x is %v, not a NaN", h, got)
					}
					continue
				}
				if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
					t.Fatalf("%#x is %v, want %v", h, got, want)
				}
				if back := f.narrow(got); back != h {
					t.Fatalf("%v becomes %#x, want %#x", got, back, h)
				}
				if back := f.narrow64(want); back != h {
					t.Fatalf("%v becomes %#x, want %#x", want, back, h)
				}
			}
		})
	}
}

// Between two neighbours the nearer is taken, in the middle the even one; beyond the
// largest the next power of two stands for infinity.
func TestHalvesRoundToTheNearest(t *testing.T) {
	for _, f := range halves {
		t.Run(f.name, func(t *testing.T) {
			infinity := uint16(1<<15 - 1<<f.fractionBits)
			for h := range infinity {
				low, high := halfValue(h, f.fractionBits), halfValue(h+1, f.fractionBits)
				if h+1 == infinity {
					high = 2*halfValue(h, f.fractionBits) - halfValue(h-1, f.fractionBits)
				}
				middle := low + (high-low)/2
				even := h + h&1
				for v, want := range map[float64]uint16{
					middle: even, math.Nextafter(middle, low): h, math.Nextafter(middle, high): h + 1,
				} {
					if got := f.narrow64(v); got != want {
						t.Fatalf("%v becomes %#x, want %#x", v, got, want)
					}
					if got := f.narrow64(-v); got != want|1<<15 {
						t.Fatalf("%v becomes %#x, want %#x", -v, got, want|1<<15)
					}
					single := float32(v)
					if float64(single) == v && f.narrow(single) != want {
						t.Fatalf("%v becomes %#x, want %#x", single, f.narrow(single), want)
					}
				}
			}
			for _, v := range []float64{math.Inf(1), math.MaxFloat64, 1e39} {
				if f.narrow64(v) != infinity || f.narrow64(-v) != infinity|1<<15 {
					t.Errorf("%v becomes %#x", v, f.narrow64(v))
				}
			}
			if f.narrow64(5e-324) != 0 {
				t.Error("the smallest float64 does not become 0")
			}
		})
	}
}

func TestNumbersRoundTripThroughEveryType(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	types := map[DataType][2]float64{
		Float32: {-1 << 20, 1 << 20}, Float64: {-1 << 50, 1 << 50}, Float16: {-1 << 11, 1 << 11}, BFloat16: {-1 << 8, 1 << 8},
		Int8: {-128, 127}, Int16: {-1 << 15, 1<<15 - 1}, Int32: {-1 << 31, 1<<31 - 1}, Int64: {-1 << 53, 1 << 53},
		Uint8: {0, 255}, Uint16: {0, 1<<16 - 1}, Uint32: {0, 1<<32 - 1}, Uint64: {0, 1 << 53}, Bool: {0, 1},
	}
	for dt, bounds := range types {
		values := []float64{bounds[0], bounds[1], 0, 1}
		for range 100 {
			values = append(values, math.Floor(bounds[0]+rng.Float64()*(bounds[1]-bounds[0]+1)))
		}
		tensor, err := FromFloat64s("t", dt, values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tensor.Float64s()
		if err != nil || !slices.Equal(got, values) {
			t.Errorf("%s: %v became %v, %v", dt, values, got, err)
		}
		if raw, _ := tensor.Bytes(); int64(len(raw)) != dt.ByteSize(int64(len(values))) {
			t.Errorf("%s: %d bytes", dt, len(raw))
		}
		ints, err := tensor.Int64s()
		if dt.IsFloat() != (err != nil) {
			t.Errorf("%s as integers: %v", dt, err)
		}
		for i := range ints {
			if float64(ints[i]) != values[i] {
				t.Errorf("%s: %v is the integer %d", dt, values[i], ints[i])
			}
		}
	}
}

func TestNumbersThatATypeCannotHold(t *testing.T) {
	for dt, values := range map[DataType][]float64{
		Int8: {-129, 128, 0.5}, Uint8: {-1, 256, math.NaN()}, Int64: {1 << 63, math.Inf(-1)}, Uint64: {-1, 1 << 64}, String: {1}, Int4: {1},
	} {
		for _, v := range values {
			if _, err := FromFloat64s("t", dt, []float64{v}); err == nil {
				t.Errorf("%v is taken for a number of %s", v, dt)
			}
		}
	}
	large := NewTensor("t", []uint64{1, math.MaxUint64})
	_, err := large.Int64s()
	wantError(t, err, "element 1")
	if got, err := large.Float64s(); err != nil || got[1] != float64(math.MaxUint64) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestPackedIntegers(t *testing.T) {
	for dt, want := range map[DataType]string{
		Uint4: "[1 15 8 7 2]", Int4: "[1 -1 -8 7 2]", // 0xf1 0x78 0x02: the low half is first
		Uint2: "[1 0 3 3 0]", Int2: "[1 0 -1 -1 0]",
	} {
		raw := []byte{0xf1, 0x78, 0x02}
		tensor, err := NewRawTensor("t", dt, raw[:dt.ByteSize(5)], 5)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tensor.Int64s()
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v; want %s", dt, got, err, want)
		}
	}
}

func TestViewsShareMemory(t *testing.T) {
	values := []float32{1, 2, 3, 4}
	tensor := NewTensor("t", values, 2, 2)
	view, err := View[float32](tensor)
	if err != nil || &view[0] != &values[0] || len(view) != 4 {
		t.Errorf("%v, %v", view, err)
	}
	_, err = View[int32](tensor)
	wantError(t, err, "float32", "int32")

	data := encode(t, (&Model{Graph: &Graph{Initializers: []*Tensor{tensor}}}))
	raw, err := decodeModel(t, data).Graph.Initializers[0].Bytes()
	if at := bytes.Index(data, raw); err != nil || at < 0 || &raw[0] != &data[at] {
		t.Error("the decoded tensor is a copy")
	}
}

func TestCount(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 10000 {
		shape := make([]int64, rng.IntN(6))
		product := big.NewInt(1)
		for i := range shape {
			shape[i] = rng.Int64() >> rng.IntN(64)
			product.Mul(product, big.NewInt(shape[i]))
		}
		n, ok := Count(shape)
		if ok && (!product.IsInt64() || product.Int64() != n) {
			t.Fatalf("%v has %v elements, not %d", shape, product, n)
		}
		if !ok && product.Sign() != 0 && product.Cmp(big.NewInt(math.MaxInt64/16)) <= 0 {
			t.Fatalf("%v is refused", shape)
		}
	}
	if _, ok := Count([]int64{0, -1}); ok {
		t.Error("a negative size is taken")
	}
}

// tensorModel is a model file with one initializer, as other programs may write it.
func tensorModel(t *testing.T, g *pb.Graph) []byte {
	t.Helper()
	data, err := proto.Marshal(&pb.Model{IrVersion: 8, Graph: g, OpsetImport: []*pb.OperatorSet{{Version: 21}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTypedContent(t *testing.T) {
	tests := []struct {
		dt     DataType
		tensor *pb.Tensor
		want   string // of Float64s
	}{
		{Float32, &pb.Tensor{FloatData: []float32{1.5, -2}}, "[1.5 -2]"},
		{Float64, &pb.Tensor{DoubleData: []float64{1.5, -2}}, "[1.5 -2]"},
		{Float16, &pb.Tensor{Int32Data: []int32{0x3e00, 0xc000}}, "[1.5 -2]"},
		{BFloat16, &pb.Tensor{Int32Data: []int32{0x3fc0, 0xc000}}, "[1.5 -2]"},
		{Int64, &pb.Tensor{Int64Data: []int64{1, math.MinInt64}}, "[1 -9.223372036854776e+18]"},
		{Int32, &pb.Tensor{Int32Data: []int32{1, -2}}, "[1 -2]"},
		{Int16, &pb.Tensor{Int32Data: []int32{1, -2}}, "[1 -2]"},
		{Int8, &pb.Tensor{Int32Data: []int32{1, -2}}, "[1 -2]"},
		{Uint64, &pb.Tensor{Uint64Data: []uint64{1, 1 << 63}}, "[1 9.223372036854776e+18]"},
		{Uint32, &pb.Tensor{Uint64Data: []uint64{1, 1<<32 - 1}}, "[1 4.294967295e+09]"},
		{Uint16, &pb.Tensor{Int32Data: []int32{1, 65535}}, "[1 65535]"},
		{Uint8, &pb.Tensor{Int32Data: []int32{1, 255}}, "[1 255]"},
		{Bool, &pb.Tensor{Int32Data: []int32{0, 2}}, "[0 1]"},
		{Bool, &pb.Tensor{RawData: []byte{0, 255}}, "[0 1]"},
		{Uint4, &pb.Tensor{Int32Data: []int32{0xf1}}, "[1 15]"},
		{Int4, &pb.Tensor{Int32Data: []int32{0xf1}}, "[1 -1]"},
		{Uint2, &pb.Tensor{Int32Data: []int32{0xe}}, "[2 3]"},
	}
	for _, test := range tests {
		test.tensor.DataType, test.tensor.Dims, test.tensor.Name = int32(test.dt), []int64{2}, "t"
		m := decodeModel(t, tensorModel(t, &pb.Graph{Initializer: []*pb.Tensor{test.tensor}}))
		for _, m := range []*Model{m, decodeModel(t, encode(t, m))} {
			got, err := m.Graph.Initializers[0].Float64s()
			if err != nil || fmt.Sprint(got) != test.want {
				t.Errorf("%s: %v, %v; want %s", test.dt, got, err, test.want)
			}
		}
		test.tensor.Dims[0] = 5
		_, err := Decode(tensorModel(t, &pb.Graph{Initializer: []*pb.Tensor{test.tensor}}))
		wantError(t, err, `initializer "t"`)
	}
}

// A writer may put the elements of a list one by one, with a tag each.
func TestUnpackedContent(t *testing.T) {
	tensor := []byte{0x08, 3, 0x10, byte(Int32)} // dims: 3, data_type
	tensor = append(tensor, 0x28, 1, 0x28, 2, 0x28, 0x96, 0x01)
	graph := append([]byte{0x2a, byte(len(tensor))}, tensor...)
	m := decodeModel(t, append([]byte{0x3a, byte(len(graph))}, graph...))
	if got, err := m.Graph.Initializers[0].Int64s(); err != nil || fmt.Sprint(got) != "[1 2 150]" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSparseInitializers(t *testing.T) {
	sparse := func(dims, indexDims []int64, indices ...int64) *pb.Graph {
		values := make([]float32, indexDims[0])
		for i := range values {
			values[i] = float32(i + 1)
		}
		return &pb.Graph{SparseInitializer: []*pb.SparseTensor{{Dims: dims,
			Values:  &pb.Tensor{Name: "w", DataType: int32(Float32), Dims: indexDims[:1], FloatData: values},
			Indices: &pb.Tensor{DataType: int32(Int64), Dims: indexDims, Int64Data: indices}}}}
	}
	for _, g := range []*pb.Graph{sparse([]int64{2, 3}, []int64{2}, 1, 5), sparse([]int64{2, 3}, []int64{2, 2}, 0, 1, 1, 2)} {
		w := decodeModel(t, tensorModel(t, g)).Graph.Initializers[0]
		if got, err := w.Float64s(); err != nil || fmt.Sprintf("%s %v %v", w.Name, w.Shape, got) != "w [2 3] [0 1 0 0 0 2]" {
			t.Errorf("%s%v is %v, %v", w.Name, w.Shape, got, err)
		}
	}
	for want, g := range map[string]*pb.Graph{
		"index 6":                   sparse([]int64{2, 3}, []int64{1}, 6),
		"index -1":                  sparse([]int64{2, 3}, []int64{1}, -1),
		"index 3 on axis 1":         sparse([]int64{2, 3}, []int64{1, 2}, 0, 3),
		"shape [1 3]":               sparse([]int64{2, 3}, []int64{1, 3}, 0, 0, 0),
		"more than 64 MB":           sparse([]int64{1 << 30}, []int64{1}, 0),
		"negative or overflowing":   sparse([]int64{1 << 40, 1 << 40}, []int64{1}, 0),
		"1099511627776 elements":    sparse([]int64{1 << 40}, []int64{1}, 0),
		"without values or indices": {SparseInitializer: []*pb.SparseTensor{{Dims: []int64{1}}}},
	} {
		_, err := Decode(tensorModel(t, g))
		wantError(t, err, "sparse initializer", want)
	}
}
