package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"assay/internal/model/remote/remotetest"
)

// TestExtractFromEndpoint makes a surrogate of a model behind an endpoint, which sees as many rows as it is told.
func TestExtractFromEndpoint(t *testing.T) {
	server := remotetest.Start(t, map[string]string{"clinic": "../../examples/diagnosis/models/undefended.onnx"}, "")
	folder := t.TempDir()
	endpoint := filepath.Join(folder, "endpoint.yaml")
	text := "protocol: v2-rest\nurl: " + server.HTTP + "\nmodel: clinic\nscores: logits\nclasses: [benign, malignant]\n"
	if err := os.WriteFile(endpoint, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	exit := Run(context.Background(), []string{"extract", "--model", endpoint, "--data", "../../examples/diagnosis/breast_cancer.csv",
		"--schema", "../../examples/diagnosis/schema.yaml", "--queries", "150", "--strategy", "natural",
		"--out", filepath.Join(folder, "s.onnx"), "--format", "json"}, Streams{Out: &out, Err: &errs})
	if exit != exitOK {
		t.Fatalf("exit %d: %s", exit, &errs)
	}
	var r extractReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	const probes = 1 // that opening an endpoint makes
	if seen := server.Seen().Rows; seen != probes+r.Queries+r.N || r.Queries != 150 {
		t.Errorf("the endpoint saw %d rows; %d queries and %d to measure are told", seen, r.Queries, r.N)
	}
	if r.Fidelity.Part < 0.9 {
		t.Errorf("fidelity %+v", r.Fidelity)
	}
}
