//! An ONNX graph under construction: operators and constants, each given a name of its own.
//!
//! It knows the operators' attributes but no model. Invariant: a node only names outputs made before it, so the list of nodes
//! is in the order that ONNX asks for.

use prost::Message;
use prost::bytes::Bytes;

use super::proto::{
    AttributeProto, DimensionProto, FLOAT, GraphProto, INT64, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The operator set that the nodes are written for: the first with layer normalisation as an operator.
const OPERATOR_SET: i64 = 17;
/// The file format that came with that operator set.
const IR_VERSION: i64 = 8;

/// Nodes and constants so far. Every method that adds one returns the name of its output.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph {
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = format!("{operator}_{}", self.nodes.len());
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
        output
    }

    pub(super) fn cast_to_float(&mut self, input: &str) -> String {
        self.node("Cast", &[input], vec![AttributeProto::int("to", i64::from(FLOAT))])
    }

    pub(super) fn transpose(&mut self, input: &str, order: &[i64]) -> String {
        self.node("Transpose", &[input], vec![AttributeProto::ints("perm", order)])
    }

    pub(super) fn softmax(&mut self, input: &str, axis: i64) -> String {
        self.node("Softmax", &[input], vec![AttributeProto::int("axis", axis)])
    }

    /// Normalises over the last axis.
    pub(super) fn layer_norm(&mut self, input: &str, scale: &str, bias: &str, epsilon: f32) -> String {
        let attributes = vec![AttributeProto::int("axis", -1), AttributeProto::float("epsilon", epsilon)];
        self.node("LayerNormalization", &[input, scale, bias], attributes)
    }

    /// Adds a constant from its little-endian bytes, row-major.
    pub(super) fn constant(&mut self, shape: &[usize], data_type: i32, raw_data: Bytes) -> String {
        let name = format!("constant_{}", self.constants.len());
        self.constants.push(TensorProto {
            dims: shape.iter().map(|&length| length as i64).collect(),
            data_type,
            name: name.clone(),
            raw_data,
        });
        name
    }

    pub(super) fn float_constant(&mut self, shape: &[usize], values: &[f32]) -> String {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(shape, FLOAT, raw.into())
    }

    pub(super) fn int_constant(&mut self, values: &[i64]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(&[values.len()], INT64, raw.into())
    }

    pub(super) fn scalar(&mut self, value: f32) -> String {
        self.float_constant(&[], &[value])
    }

    /// Ends the graph: gives `hidden` the name `output` and encodes the whole as an ONNX model.
    pub(super) fn into_model(mut self, hidden_size: usize, hidden: &str, output: &str) -> Vec<u8> {
        self.nodes.push(NodeProto {
            input: vec![hidden.to_owned()],
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: "Identity".to_owned(),
            attribute: vec![],
        });
        let named = |name: &str| DimensionProto { dim_param: Some(name.to_owned()), ..DimensionProto::default() };
        let fixed = DimensionProto { dim_value: Some(hidden_size as i64), ..DimensionProto::default() };
        let tokens = vec![named("batch"), named("tokens")];
        let vectors = vec![named("batch"), fixed];
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "tessera".to_owned(),
            graph: Some(GraphProto {
                node: self.nodes,
                name: "bert_sentence_encoder".to_owned(),
                initializer: self.constants,
                input: vec![value("input_ids", INT64, tokens.clone()), value("attention_mask", INT64, tokens)],
                output: vec![value(output, FLOAT, vectors)],
            }),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATOR_SET }],
        };
        model.encode_to_vec()
    }
}

fn value(name: &str, elem_type: i32, dim: Vec<DimensionProto>) -> ValueInfoProto {
    let tensor_type = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
