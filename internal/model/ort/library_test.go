package ort

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"assay/onnx"
)

func TestLoadedOnce(t *testing.T) {
	if err := Load(""); err != nil {
		t.Fatal(err)
	}
	if err := Load(""); err != nil {
		t.Error(err)
	}
	if err := Load("/elsewhere/libonnxruntime.so"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("another library gives %v", err)
	}
}

func TestCheckVersion(t *testing.T) {
	for version, ok := range map[string]bool{"1.24.0": true, "1.30.0": true, "": true, "1.23.2": false, "1.4.0": false, "2.0.0": false, "x": false} {
		if err := checkVersion(version); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
	if err := checkVersion("1.20.1"); err == nil || !strings.Contains(err.Error(), "1.20.1") || !strings.Contains(err.Error(), "1.24 or later") {
		t.Errorf("%v does not tell found and wanted", err)
	}
}

// TestBadLibraries runs this test in processes of their own, as a process can load
// a library but once.
func TestBadLibraries(t *testing.T) {
	if os.Getenv("ASSAY_TEST_LOAD") != "" {
		t.Log(Load(""))
		return
	}
	dir := t.TempDir()
	text := filepath.Join(dir, "libonnxruntime.so.1")
	if err := os.WriteFile(text, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		filepath.Join(dir, "absent"): "not there",
		text:                         "cannot be loaded",
		dir:                          "cannot be loaded",
	}
	for path, want := range tests {
		cmd := exec.Command(os.Args[0], "-test.run=^TestBadLibraries$", "-test.v")
		cmd.Env = append(os.Environ(), "ASSAY_TEST_LOAD=1", LibraryVariable+"="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, part := range []string{path, want, "make setup", LibraryVariable} {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s: no %q in\n%s", path, part, out)
			}
		}
	}
}

// TestSilence: the C library writes nothing to the terminal, whatever goes wrong.
func TestSilence(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^(TestBadModels|TestCancel|TestWrongTensors)$")
	var terminal strings.Builder
	cmd.Stderr = &terminal
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "PASS") || terminal.Len() > 0 {
		t.Errorf("%v\n%s%s", err, out, terminal.String())
	}
}

func TestLargeModels(t *testing.T) {
	b := onnx.NewBuilder("large")
	x := b.Input("x", onnx.Float32, 1, 1000)
	values := make([]float32, 1000)
	for i := range values {
		values[i] = float32(i)
	}
	b.OutputAs("y", b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", values, 1000, 1))), onnx.Float32, onnx.Dims(1, 1))
	s, err := newSession("large", b.Model())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	if _, err := s.startFromFiles(b.Model(), Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("%v is left over (%v)", left, err)
	}
	ones := make([]float32, 1000)
	for i := range ones {
		ones[i] = 1
	}
	outputs := []*Tensor{nil}
	if err := s.Run(t.Context(), []*Tensor{NewTensor(ones, 1, 1000)}, outputs); err != nil || Data[float32](outputs[0])[0] != 499500 {
		t.Error(outputs[0], err)
	}
}
