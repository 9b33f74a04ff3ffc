import { cases } from './matmul_gradient.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('matmul_gradient', cases);
