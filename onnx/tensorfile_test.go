package onnx

import "testing"

func TestDecodeTensor(t *testing.T) {
	// A TensorProto: dims [2], data_type float, raw_data of 8 bytes.
	data := []byte{0x08, 2, 0x10, 1, 0x4a, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}
	x, err := DecodeTensor(data)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := View[float32](x); err != nil || len(v) != 2 || v[0] != 1 || v[1] != 2 {
		t.Errorf("%v, %v", v, err)
	}
	for n := range len(data) {
		if _, err := DecodeTensor(data[:n]); err == nil {
			t.Errorf("%d of its bytes are read as a tensor", n)
		}
	}
}
