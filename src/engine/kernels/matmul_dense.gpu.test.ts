import { cases } from './matmul_dense.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('matmul_dense', cases);
