import { cases } from './matmul_nf4.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('matmul_nf4', cases);
