package system

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"assay/internal/strict"
)

// TestGuide reads what the guide shows as descriptions.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "how-to", "describe-a-system.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d descriptions", len(blocks))
	}
	if err := strict.Decode("guide", blocks[0][1], &System{}, Sets()).Err(); err != nil {
		t.Error(err)
	}
	const head = "version: 1\nsystem: {name: S, stage: operation, modality: tabular, risk: low}\n"
	if err := strict.Decode("guide", append([]byte(head), blocks[1][1]...), &System{}, Sets()).Err(); err != nil {
		t.Error(err)
	}
}
