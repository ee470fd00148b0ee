package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDetector gives a model detectors, and tells what is then to be said.
func TestDetector(t *testing.T) {
	dir := folder(t)
	for _, c := range []struct{ model, want string }{
		{"file: b.onnx, detector: {file: a.onnx, threshold: -2}", ""},
		{"file: b.onnx, detector: {file: a.onnx, output: score, fpr: 0.05, calibration: held}", ""},
		{"file: b.onnx, detector: {file: c.onnx, threshold: 2}", `5:49: models[1].detector.file: "c.onnx" is not there: did you mean "a.onnx"?`},
		{"file: b.onnx, detector: {file: ../c.onnx, threshold: 2}", `5:49: models[1].detector.file: "../c.onnx" cannot be used: it leads out of the folder`},
		{"file: b.onnx, detector: {threshold: 2}", `5:42: models[1].detector.file: is missing`},
		{"file: b.onnx, detector: {file: a.onnx}", `5:42: models[1].detector: says nothing of when it refuses: give a threshold, or fpr and the data for its calibration`},
		{"file: b.onnx, detector: {file: a.onnx, fpr: 0.1}", `models[1].detector: says nothing of when it refuses`},
		{"file: b.onnx, detector: {file: a.onnx, threshold: 2, fpr: 0.1}", `5:68: models[1].detector.threshold: is there, and so is what sets one: leave fpr and calibration out, or the threshold`},
		{"file: b.onnx, detector: {file: a.onnx, fpr: 1, calibration: held}", `5:62: models[1].detector.fpr: is 1`},
		{"file: b.onnx, detector: {file: a.onnx, fpr: 0.1, calibration: hold}", `5:80: models[1].detector.calibration: "hold" is no dataset of this file: did you mean held?`},
		{"file: b.onnx, detector: {file: a.onnx, fpr: 0.1, calibration: test}", `"test" are test data: calibrate on data whose role is validation or reference`},
		{"file: b.onnx, shape: [4], detector: {file: a.onnx, threshold: 2}", `the model's shape, layout, scores, output or classes are stated`},
		{"endpoint: far, detector: {file: a.onnx, threshold: 2}", `the model is behind an endpoint: a detector can be joined to a file alone`},
	} {
		text := strings.Replace(small, "file: b.onnx", c.model, 1)
		text = strings.Replace(text, "solutions:", "  - {name: held, file: e.csv, role: reference}\nendpoints:\n  - {name: far, protocol: v2-rest, url: \"http://localhost\", model: m}\nsolutions:", 1)
		path := filepath.Join(dir, FileName)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s\ngives %v\nwant  %s", c.model, err, c.want)
		}
	}
}
