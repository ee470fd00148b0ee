package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"assay"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errFailed, 1},
		{errors.New("no such file"), 3},
		{assay.WithCode(assay.CodeInternal, errors.New("index out of range")), 4},
		{assay.WithCode(assay.CodeUsage, errors.New("no such flag")), 3},
		{assay.WithCode(assay.CodeEvidence, errors.New("not signed")), 3},
		{fmt.Errorf("training: %w", context.Canceled), 130},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

// TestErrorsForPrograms: with --format json an error is on the output as JSON, and the sentence on the error stream.
func TestErrorsForPrograms(t *testing.T) {
	dir := t.TempDir()
	wrong := filepath.Join(dir, "assay.yaml")
	if err := os.WriteFile(wrong, []byte("version: 1\nsystem:\n  name: a\n  stage: verifcation\n  modality: tabular\n  risk: low\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		code         assay.Code
		exit         int
		line, column int
	}{
		"assess " + wrong + " --format json":           {assay.CodeInput, exitUsage, 4, 10},
		"plan " + wrong + " --format=json":             {assay.CodeInput, exitUsage, 4, 10},
		"plan --format json " + dir + "/none.yaml":     {assay.CodeInput, exitUsage, 0, 0},
		"verify --format json " + dir:                  {assay.CodeInput, exitUsage, 0, 0},
		"report --format json " + dir:                  {assay.CodeInput, exitUsage, 0, 0},
		"rerun --format json " + dir:                   {assay.CodeInput, exitUsage, 0, 0},
		"assess --bogus --format json":                 {assay.CodeUsage, exitUsage, 0, 0},
		"assess --workers many --format json":          {assay.CodeUsage, exitUsage, 0, 0},
		"assess --workers -1 --format json " + wrong:   {assay.CodeUsage, exitUsage, 0, 0},
		"verify --format json":                         {assay.CodeUsage, exitUsage, 0, 0},
		"bogus --format json":                          {assay.CodeUsage, exitUsage, 0, 0},
		"version --format json more":                   {assay.CodeUsage, exitUsage, 0, 0},
		"explain nothing --format json":                {assay.CodeUsage, exitUsage, 0, 0},
		"catalog no/cell --format json":                {assay.CodeUsage, exitUsage, 0, 0},
		"attack --format json":                         {assay.CodeUsage, exitUsage, 0, 0},
		"train --format json --data none --out m.onnx": {assay.CodeInput, exitUsage, 0, 0},
		"gradient --format json --model m --data d":    {assay.CodeInput, exitUsage, 0, 0},
		"init --format json " + dir + "/none":          {assay.CodeInput, exitUsage, 0, 0},
	} {
		var out, errs bytes.Buffer
		exit := Run(context.Background(), strings.Fields(args), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		var got struct{ Error jsonError }
		d := json.NewDecoder(&out)
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil || d.More() {
			t.Errorf("%s: %v", args, err)
			continue
		}
		e := got.Error
		if exit != want.exit || e.Code != want.code || len(e.Message) < 10 || !strings.Contains(errs.String(), strings.Split(e.Message, "\n")[0]) || e.Mistakes == nil {
			t.Errorf("%s: exit %d, %+v, %q", args, exit, e, errs.String())
		}
		if want.line > 0 && (len(e.Mistakes) != 1 || e.Mistakes[0].File != wrong || e.Mistakes[0].Line != want.line || e.Mistakes[0].Column != want.column || e.Mistakes[0].Path != "system.stage") {
			t.Errorf("%s: %+v", args, e.Mistakes)
		}
	}
}

func TestErrorsForPeopleAlone(t *testing.T) {
	for _, args := range [][]string{{"plan", "none.yaml"}, {"plan", "--format", "text", "none.yaml"}, {"bogus"}} {
		var out, errs bytes.Buffer
		if exit := Run(context.Background(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); exit != exitUsage || out.Len() != 0 || errs.Len() == 0 {
			t.Errorf("%v: exit %d, output %q", args, exit, out.String())
		}
	}
}
