package onnx

import (
	"bytes"
	"testing"

	"assay/internal/realdata"
)

func TestConformanceModelsRoundTrip(t *testing.T) {
	for _, c := range realdata.Conformance(t) {
		m, err := Decode(c.Model)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		first, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(first)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		second, _ := again.Encode()
		if !bytes.Equal(first, second) {
			t.Errorf("%s: does not re-encode to the same bytes", c.Name)
		}
	}
}
