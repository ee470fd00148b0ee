package dataset_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
)

func TestLoadTexts(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ctx := context.Background()
	for name, text := range map[string]string{
		"a.jsonl": "{\"id\": 7, \"text\": \"Good, \\\"really\\\"\", \"label\": \"pos\"}\n{\"id\": 8, \"text\": \"\", \"label\": 0}\n",
		"a.csv":   "id,text,label\n7,\"Good, \"\"really\"\"\",pos\n8,,0\n",
	} {
		got, err := dataset.LoadTexts(ctx, write(name, text), "text", "label")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Texts, []string{`Good, "really"`, ""}) || !slices.Equal(got.Labels, []string{"pos", "0"}) || !slices.Equal(got.Number, []int64{1, 2}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for want, c := range map[string][3]string{
		`has no column "body" for the texts`: {"b.csv", "text,label\na,b\n", "body"},
		`has no column "label"`:              {"c.csv", "text,class\na,b\n", "text"},
		`d.csv line 3, column "label"`:       {"d.csv", "text,label\na,b\nc,\n", "text"},
		"is not text in UTF-8":               {"e.csv", "text,label\n\xff,b\n", "text"},
		"cannot be read":                     {"f.jsonl", "{\"text\": \"a\", \"label\": \"b\"}\n{\n", "text"},
	} {
		if _, err := dataset.LoadTexts(ctx, write(c[0], c[1]), c[2], "label"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := dataset.LoadTexts(ctx, filepath.Join(folder, "none.csv"), "text", "label"); err == nil {
		t.Error("a file that is not there was read")
	}
}
