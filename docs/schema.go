// Package docs holds prose, whose test keeps what it points at from going away, and the
// JSON Schema of assay.yaml.
package docs

import _ "embed"

// Schema is the JSON Schema (draft 2020-12) of assay.yaml, for editors.
//
//go:embed assay.schema.json
var Schema []byte
